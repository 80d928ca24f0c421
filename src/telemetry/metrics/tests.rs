use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::call::CacheStatus;
use crate::model::ids::{ApiId, StageName};
use crate::telemetry::metrics::names::{self, ALL, Kind};
use crate::telemetry::metrics::{Measurement, MethodKey, Metrics};

fn call(status: u16) -> Measurement {
    Measurement {
        status,
        cache: CacheStatus::Off,
        latency: Duration::from_millis(2),
        integration_latency: None,
        request_bytes: 0,
        response_bytes: 10,
    }
}

/// A strict reader of what OpenMetrics 1.0 allows us to write: families in one piece, HELP and TYPE
/// before their series, names that fit the type, no series twice, EOF at the end.
fn read(text: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut family = (String::new(), String::new());
    let body = text.strip_suffix("# EOF\n").expect("ends with EOF");
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let name = help.split(' ').next().unwrap();
            assert!(seen.insert(name.to_owned()), "family {name} twice");
            family = (name.to_owned(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family.0);
            kind.clone_into(&mut family.1);
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let suffix = bare.strip_prefix(family.0.as_str()).expect("series of its family");
            let allowed: &[&str] = match family.1.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_sum", "_count", "_bucket"],
                other => panic!("type {other}"),
            };
            assert!(allowed.contains(&suffix), "{line}");
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    series
}

#[test]
fn calls_add_up_to_openmetrics_text() {
    let metrics = Metrics::new();
    let meter = metrics.stage(&ApiId::new("abc"), &StageName::new("prod"));
    meter.record(&call(200));
    meter.record(&Measurement {
        cache: CacheStatus::Hit { age_seconds: 1 },
        request_bytes: 5,
        ..call(200)
    });
    meter.record(&Measurement {
        cache: CacheStatus::Miss,
        latency: Duration::from_secs(31),
        integration_latency: Some(Duration::from_secs(29)),
        ..call(504)
    });
    meter.record(&call(999));
    meter.record(&call(0));

    let series = read(&metrics.encode());
    let is = |name: &str, value: f64| assert_eq!(series.get(name), Some(&value), "{name}");
    let requests = |status: &str, cache: &str| {
        format!(
            "tidegate_requests_total{{api=\"abc\",stage=\"prod\",status=\"{status}\",\
             cache=\"{cache}\"}}"
        )
    };
    is(&requests("200", "off"), 1.0);
    is(&requests("200", "hit"), 1.0);
    is(&requests("504", "miss"), 1.0);
    is(&requests("other", "off"), 2.0);
    let stage = "api=\"abc\",stage=\"prod\"";
    is(&format!("tidegate_latency_seconds_count{{{stage}}}"), 5.0);
    is(&format!("tidegate_latency_seconds_sum{{{stage}}}"), 31.008);
    is(&format!("tidegate_latency_seconds_bucket{{le=\"0.001\",{stage}}}"), 0.0);
    is(&format!("tidegate_latency_seconds_bucket{{le=\"0.0025\",{stage}}}"), 4.0);
    is(&format!("tidegate_latency_seconds_bucket{{le=\"30.0\",{stage}}}"), 4.0);
    is(&format!("tidegate_latency_seconds_bucket{{le=\"+Inf\",{stage}}}"), 5.0);
    is(&format!("tidegate_integration_latency_seconds_count{{{stage}}}"), 1.0);
    is(&format!("tidegate_integration_latency_seconds_bucket{{le=\"30.0\",{stage}}}"), 1.0);
    is(&format!("tidegate_request_bytes_total{{{stage}}}"), 5.0);
    is(&format!("tidegate_response_bytes_total{{{stage}}}"), 50.0);
}

/// Prometheus's upper bounds are inclusive.
#[test]
fn a_latency_on_a_bound_is_inside_it() {
    let metrics = Metrics::new();
    let meter = metrics.stage(&ApiId::new("abc"), &StageName::new("prod"));
    meter.record(&Measurement { latency: Duration::from_micros(100), ..call(200) });
    meter.record(&Measurement { latency: Duration::from_micros(101), ..call(200) });
    assert_eq!(meter.read().latency.buckets[..2], [1, 1]);
}

#[test]
fn no_call_is_lost_between_threads() {
    let metrics = Metrics::new();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let meter = metrics.stage(&ApiId::new("abc"), &StageName::new("prod"));
            scope.spawn(move || (0..1_000).for_each(|_| meter.record(&call(200))));
        }
    });
    let reading = metrics.stage(&ApiId::new("abc"), &StageName::new("prod")).read();
    assert_eq!(reading.requests, [(Some(200), "off", 20_000)]);
    assert_eq!(reading.latency.sum_micros, 20_000 * 2_000);
}

#[test]
fn watched_numbers_are_read_at_each_scrape() {
    let metrics = Metrics::new();
    metrics.watch(&names::CACHE_BYTES, &["memory"], || 7.0);
    metrics.watch(&names::CACHE_BYTES, &["disk"], || 9.0);
    metrics.watch(&names::CACHE_BYTES, &["disk"], || 10.0);
    metrics.watch(&names::PANICS, &[], || 3.0);
    metrics.watch(&names::BUILD_INFO, &["1 \"x\"\n\\", "n", "edge"], || 1.0);
    let text = metrics.encode();
    let series = read(&text);
    assert_eq!(series["tidegate_cache_bytes{tier=\"memory\"}"], 7.0);
    assert_eq!(series["tidegate_cache_bytes{tier=\"disk\"}"], 10.0);
    assert_eq!(series["tidegate_panics_total"], 3.0);
    assert!(
        text.contains(r#"tidegate_build_info{version="1 \"x\"\n\\",node="n",role="edge"} 1"#),
        "{text}"
    );

    metrics.forget(&names::CACHE_BYTES, &["memory"]);
    metrics.forget(&names::CACHE_BYTES, &["disk"]);
    assert!(!metrics.encode().contains("tidegate_cache_bytes"));
}

/// A node that sees ever new stage names does not grow without end.
#[test]
fn meters_are_bounded() {
    let metrics = Metrics::new();
    for stage in 0..5_000 {
        metrics.stage(&ApiId::new("abc"), &StageName::new(&stage.to_string())).record(&call(200));
    }
    let series = read(&metrics.encode());
    let counted: Vec<_> =
        series.iter().filter(|(name, _)| name.starts_with("tidegate_requests_total")).collect();
    assert_eq!(counted.len(), 4_097);
    assert_eq!(counted.iter().map(|(_, calls)| **calls).sum::<f64>(), 5_000.0);
    assert!(series.contains_key(
        "tidegate_requests_total{api=\"(other)\",stage=\"(other)\",status=\"200\",cache=\"off\"}"
    ));
}

/// The reference page lists exactly the metrics there are, with their types and labels.
/// rest-data-plane 11.4: with `metricsEnabled` a method has figures of its own.
#[test]
fn methods_that_ask_for_it_are_counted_by_themselves() {
    let metrics = Metrics::new();
    let key = |resource: &str| MethodKey {
        api: ApiId::new("abc"),
        stage: StageName::new("prod"),
        method: "GET".to_owned(),
        resource: resource.to_owned(),
    };
    metrics.method(key("/pets/{id}")).record(&call(200));
    metrics.method(key("/pets/{id}")).record(&call(200));
    metrics.method(key("/")).record(&call(404));
    let series = read(&metrics.encode());
    let labels = r#"api="abc",stage="prod",method="GET",resource="/pets/{id}""#;
    let count = format!("tidegate_method_requests_total{{{labels},status=\"200\",cache=\"off\"}}");
    assert_eq!(series[&count], 2.0);
    assert_eq!(series[&format!("tidegate_method_latency_seconds_count{{{labels}}}")], 2.0);
    let root = r#"{api="abc",stage="prod",method="GET",resource="/",status="404",cache="off"}"#;
    assert_eq!(series[&format!("tidegate_method_requests_total{root}")], 1.0);
}

#[test]
fn the_reference_page_is_complete() {
    let page = include_str!("../../../deploy/metrics.md");
    let rows: BTreeSet<_> = page
        .lines()
        .filter(|line| line.starts_with("| `tidegate_"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[2].to_owned(), cells[3].to_owned())
        })
        .collect();
    let table: BTreeSet<_> = ALL
        .iter()
        .map(|family| {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            (format!("`{}`", family.name), kind.to_owned(), labels.join(", "))
        })
        .collect();
    assert_eq!(rows, table);
}

#[test]
fn names_follow_the_conventions() {
    for family in ALL {
        assert_eq!(
            family.kind == Kind::Counter,
            family.name.ends_with("_total"),
            "{}",
            family.name
        );
        assert!(family.name.starts_with("tidegate_"));
        assert!(!family.help.is_empty() && !family.help.ends_with('.'));
    }
}
