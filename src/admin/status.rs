//! How does the cluster look from here? The shapes of `tidegate status`, as JSON and as a table.
//!
//! The JSON is a promise to scripts: fields may be added, none may change its meaning. What a node
//! says comes from gossip, so it is what that node last said of itself; `alive` is what the
//! answering node thinks of it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// The answer of `GET /_tidegate/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's name.
    pub cluster: String,
    /// The node that answered.
    pub answered_by: String,
    /// Newest configuration epoch known here; a rollout is done when all live nodes show it.
    pub config_epoch: u64,
    /// Newest purge known here.
    pub purge_seq: u64,
    pub nodes: Vec<NodeStatus>,
    pub apis: Vec<ApiStatus>,
}

/// One node, dead or alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub name: String,
    /// `region` or `edge`.
    pub role: String,
    /// Point of presence; absent for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    pub alive: bool,
    /// The program's version.
    pub version: String,
    /// Configuration epoch the node serves.
    pub config_epoch: u64,
    /// Epochs it is behind the newest one known here.
    pub epoch_lag: u64,
    /// Last purge the node applied.
    pub purge_seq: u64,
    #[serde(default)]
    pub cache: CacheFill,
    pub uptime_seconds: u64,
}

/// What a node's cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFill {
    pub memory_bytes: u64,
    pub memory_entries: u64,
    pub disk_bytes: u64,
}

/// One stage of an API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiStatus {
    pub id: String,
    pub name: String,
    pub stage: String,
    /// `EDGE`, `REGIONAL` or `PRIVATE`.
    pub endpoint_type: String,
    /// Where to send requests.
    pub urls: Vec<String>,
}

impl ClusterStatus {
    /// A table for people, ending in a line break. Names come from other machines, so nothing in
    /// them can move the terminal's cursor.
    pub fn to_table(&self) -> String {
        let alive = self.nodes.iter().filter(|node| node.alive).count();
        let mut text = format!(
            "cluster {}: {alive} of {} nodes alive, config epoch {}, purge {} (seen from {})\n\n",
            printable(&self.cluster),
            self.nodes.len(),
            self.config_epoch,
            self.purge_seq,
            printable(&self.answered_by),
        );
        let mut nodes = vec![
            [
                "NODE", "ROLE", "POP", "STATE", "VERSION", "EPOCH", "LAG", "PURGE", "MEMORY",
                "ENTRIES", "DISK", "UPTIME",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        nodes.extend(self.nodes.iter().map(NodeStatus::row));
        push_columns(&nodes, &mut text);
        if !self.apis.is_empty() {
            text.push('\n');
            let mut apis =
                vec![["API", "NAME", "STAGE", "TYPE", "URL"].map(str::to_owned).to_vec()];
            apis.extend(self.apis.iter().map(ApiStatus::row));
            push_columns(&apis, &mut text);
        }
        text
    }
}

impl NodeStatus {
    fn row(&self) -> Vec<String> {
        let pop = match (&self.pop, &self.location) {
            (Some(pop), Some(location)) => format!("{pop} ({location})"),
            (Some(pop), None) => pop.clone(),
            (None, Some(location)) => location.clone(),
            (None, None) => "-".to_owned(),
        };
        vec![
            printable(&self.name),
            printable(&self.role),
            printable(&pop),
            if self.alive { "alive" } else { "dead" }.to_owned(),
            printable(&self.version),
            self.config_epoch.to_string(),
            self.epoch_lag.to_string(),
            self.purge_seq.to_string(),
            bytes(self.cache.memory_bytes),
            self.cache.memory_entries.to_string(),
            bytes(self.cache.disk_bytes),
            // A dead node's uptime would be a guess.
            if self.alive { duration(self.uptime_seconds) } else { "-".to_owned() },
        ]
    }
}

impl ApiStatus {
    fn row(&self) -> Vec<String> {
        vec![
            printable(&self.id),
            printable(&self.name),
            printable(&self.stage),
            printable(&self.endpoint_type),
            printable(self.urls.first().map_or("-", String::as_str)),
        ]
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Two spaces between columns, no spaces at a line's end.
fn push_columns(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to memory does not fail.
            write!(line, "{cell:<width$}  ").unwrap_or_default();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// `0 B`, `1023 B`, `1.0 KiB`, `64.0 MiB`.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1_024.0;
    let mut unit = 0;
    // Beyond 1023.95 one digit behind the point would print 1024.0.
    while size >= 1_023.95 && unit < UNITS.len() - 1 {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// The two largest units: `42s`, `3m 7s`, `5h 0m`, `12d 4h`.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterStatus {
        let region = NodeStatus {
            name: "region".to_owned(),
            role: "region".to_owned(),
            alive: true,
            version: "0.1.0".to_owned(),
            config_epoch: 3,
            purge_seq: 1,
            uptime_seconds: 3_725,
            ..NodeStatus::default()
        };
        let edge = NodeStatus {
            name: "edge-\x1b[2Jfra".to_owned(),
            role: "edge".to_owned(),
            pop: Some("FRA".to_owned()),
            location: Some("Frankfurt".to_owned()),
            alive: false,
            config_epoch: 2,
            epoch_lag: 1,
            cache: CacheFill { memory_bytes: 1_048_575, memory_entries: 12, disk_bytes: 3 << 30 },
            ..region.clone()
        };
        let api = ApiStatus {
            id: "abcdefghij".to_owned(),
            name: "Pet store".to_owned(),
            stage: "prod".to_owned(),
            endpoint_type: "EDGE".to_owned(),
            urls: vec!["https://a.localhost:8443/prod".to_owned()],
        };
        ClusterStatus {
            cluster: "one-box".to_owned(),
            answered_by: "region".to_owned(),
            config_epoch: 3,
            purge_seq: 1,
            nodes: vec![region, edge],
            apis: vec![api],
        }
    }

    #[test]
    fn the_table_is_for_people() {
        assert_eq!(
            cluster().to_table(),
            "\
cluster one-box: 1 of 2 nodes alive, config epoch 3, purge 1 (seen from region)

NODE          ROLE    POP              STATE  VERSION  EPOCH  LAG  PURGE  MEMORY   ENTRIES  DISK     UPTIME
region        region  -                alive  0.1.0    3      0    1      0 B      0        0 B      1h 2m
edge-?[2Jfra  edge    FRA (Frankfurt)  dead   0.1.0    2      1    1      1.0 MiB  12       3.0 GiB  -

API         NAME       STAGE  TYPE  URL
abcdefghij  Pet store  prod   EDGE  https://a.localhost:8443/prod
"
        );
    }

    #[test]
    fn json_gives_back_what_it_was_made_from() {
        let json = serde_json::to_string(&cluster()).unwrap();
        assert_eq!(serde_json::from_str::<ClusterStatus>(&json).unwrap(), cluster());
        assert!(json.contains("\"cache\":{\"memory_bytes\":1048575,"), "{json}");
    }

    #[test]
    fn sizes_and_times_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_600, "1h 0m"),
            (86_400 * 12 + 14_400, "12d 4h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
