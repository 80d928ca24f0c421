//! API keys from a CSV file.
//!
//! The header names the columns, in any order and case: `Name` and `Key` must be there,
//! `Description`, `Enabled` and `UsagePlanIds` may. A key whose value is known is overwritten. A
//! row that cannot be used is a warning; with `failonwarnings` the first of them fails the call.
//! AWS: API Gateway Developer Guide, "API Gateway API key file format"; RFC 4180.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{api_keys, support, usage_plan_keys};
use crate::admin::protocol::error::ApiError;
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations = &[("ImportApiKeys", import_api_keys)];

/// Rows of one file: the account's quota of API keys ("Quotas for configuring and running a REST
/// API").
const ROWS_MAX: usize = 10_000;

/// Columns of one row and plans of one key; ours, far beyond what files have.
const COLUMNS_MAX: usize = 1_000;

fn import_api_keys(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let text = std::str::from_utf8(&input.payload)
        .map_err(|_| ApiError::bad_request("The API key file is not UTF-8 text"))?;
    let rows = rows(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let mut rows = rows.into_iter();
    let header = rows.next().ok_or_else(|| ApiError::bad_request("The API key file is empty"))?;
    let columns = Columns::read(&header.fields)?;

    let mut known: HashMap<String, String> = context
        .txn
        .list(Kind::ApiKey, "")
        .into_iter()
        .map(|(id, body)| (support::text(&body, "value").to_owned(), id.to_string()))
        .collect();
    let plans = usage_plan_keys::plans(context.txn);
    let mut seen = HashSet::new();
    let mut ids: Vec<String> = Vec::new();
    let mut warnings = Vec::new();
    for row in rows {
        match keep(context, &columns, &row, &mut known) {
            Ok(id) => {
                subscribe(context, &plans, &columns, &row, &id, &mut warnings);
                if seen.insert(id.clone()) {
                    ids.push(id);
                }
            }
            Err(problem) => {
                warnings.push(format!("Line {}: {}", row.line, problem.message));
            }
        }
    }
    support::imported(input, ids, warnings)
}

/// Stores one row's key; its id.
fn keep(
    context: &mut Context<'_>,
    columns: &Columns,
    row: &Row,
    known: &mut HashMap<String, String>,
) -> Result<String, ApiError> {
    let (name, value) = (row.field(Some(columns.name)), row.field(Some(columns.key)));
    if name.is_empty() {
        return Err(ApiError::bad_request("the API key has no name"));
    }
    api_keys::check_name(name)?;
    api_keys::check_value(value)?;
    let description = row.field(columns.description);
    api_keys::check_description(description)?;
    let enabled = match row.field(columns.enabled) {
        "" => true,
        flag if flag.eq_ignore_ascii_case("true") => true,
        flag if flag.eq_ignore_ascii_case("false") => false,
        other => {
            return Err(ApiError::bad_request(format!(
                "Enabled must be TRUE or FALSE, not {other}"
            )));
        }
    };

    let stored = known.get(value).and_then(|id| context.txn.get(Kind::ApiKey, "", id));
    let mut body = match stored {
        Some(stored) => {
            if !enabled {
                api_keys::leave_plans(context.txn, support::text(&stored, "id"));
            }
            Body::clone(&stored)
        }
        None => api_keys::new_key(context, value, enabled),
    };
    body.insert("name".to_owned(), Value::from(name));
    body.insert("enabled".to_owned(), Value::from(enabled));
    body.insert("lastUpdatedDate".to_owned(), context.seconds());
    if description.is_empty() {
        body.shift_remove("description");
    } else {
        body.insert("description".to_owned(), Value::from(description));
    }
    let id = support::text(&body, "id").to_owned();
    known.insert(value.to_owned(), id.clone());
    context.txn.put(Kind::ApiKey, "", &id, body);
    Ok(id)
}

/// Puts a row's key into the plans the row names.
fn subscribe(
    context: &mut Context<'_>,
    plans: &usage_plan_keys::Plans,
    columns: &Columns,
    row: &Row,
    key: &str,
    warnings: &mut Vec<String>,
) {
    let named = row.field(columns.plans).split(',').map(str::trim);
    for plan in named.filter(|plan| !plan.is_empty()).take(COLUMNS_MAX) {
        if context.txn.contains(Kind::UsagePlanKey, plan, key) {
            continue;
        }
        if let Err(problem) = usage_plan_keys::subscribe(context, plans, plan, key) {
            warnings.push(format!("Line {}: usage plan {plan}: {}", row.line, problem.message));
        }
    }
}

/// Where in a row the fields stand.
struct Columns {
    name: usize,
    key: usize,
    description: Option<usize>,
    enabled: Option<usize>,
    plans: Option<usize>,
}

impl Columns {
    fn read(header: &[String]) -> Result<Self, ApiError> {
        let find = |wanted: &str| header.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let required = |wanted: &str| {
            find(wanted).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "The API key file has no column {wanted}. Its header must have Name and Key."
                ))
            })
        };
        Ok(Self {
            name: required("Name")?,
            key: required("Key")?,
            description: find("Description"),
            enabled: find("Enabled"),
            plans: find("UsagePlanIds"),
        })
    }
}

/// A row that is not empty, and the line it begins on.
struct Row {
    line: usize,
    fields: Vec<String>,
}

impl Row {
    /// Empty where the file has no such column or the row ends before it.
    fn field(&self, column: Option<usize>) -> &str {
        let field = column.and_then(|column| self.fields.get(column));
        field.map(String::as_str).unwrap_or_default()
    }
}

/// RFC 4180, and single quotes as AWS allows them. Fields are trimmed outside of quotes.
fn rows(text: &str) -> Result<Vec<Row>, ApiError> {
    let mut rows = Vec::new();
    let mut letters = text.chars().peekable();
    let mut line = 1;
    while letters.peek().is_some() {
        let mut row = Row { line, fields: Vec::new() };
        loop {
            let (field, end) = field(&mut letters, &mut line)?;
            row.fields.push(field);
            if row.fields.len() > COLUMNS_MAX {
                return Err(ApiError::bad_request(format!(
                    "Line {} of the API key file has more than {COLUMNS_MAX} columns",
                    row.line
                )));
            }
            if end != End::Field {
                break;
            }
        }
        if row.fields.iter().any(|field| !field.is_empty()) {
            rows.push(row);
        }
        // One row is the header.
        if rows.len() > ROWS_MAX + 1 {
            return Err(ApiError::bad_request(format!(
                "The API key file has more than {ROWS_MAX} keys"
            )));
        }
    }
    Ok(rows)
}

#[derive(PartialEq, Eq)]
enum End {
    Field,
    Row,
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn field(letters: &mut Letters<'_>, line: &mut usize) -> Result<(String, End), ApiError> {
    while letters.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
    let quote = letters.next_if(|letter| matches!(letter, '"' | '\''));
    let mut field = String::new();
    if let Some(quote) = quote {
        let begun = *line;
        loop {
            match letters.next() {
                None => {
                    return Err(ApiError::bad_request(format!(
                        "The quote on line {begun} of the API key file does not end"
                    )));
                }
                Some(letter) if letter == quote => {
                    if letters.next_if_eq(&quote).is_none() {
                        break;
                    }
                    field.push(quote);
                }
                Some(letter) => {
                    *line += usize::from(letter == '\n');
                    field.push(letter);
                }
            }
        }
    }
    let mut rest = String::new();
    let end = loop {
        match letters.next() {
            None => break End::Row,
            Some(',') => break End::Field,
            Some('\r') if letters.peek() == Some(&'\n') => {}
            Some('\n' | '\r') => {
                *line += 1;
                break End::Row;
            }
            Some(letter) => rest.push(letter),
        }
    };
    let rest = rest.trim();
    if quote.is_some() && !rest.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Something stands behind a quoted field near line {line} of the API key file"
        )));
    }
    field.push_str(rest);
    Ok((field, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use serde_json::json;

    use super::super::trial::{Call, World, call, object};
    use super::*;

    const FIRST: &str = "apikey1234abcdefghij0123456789";
    const SECOND: &str = "apikey5678abcdefghij0123456789";

    fn world() -> World {
        let mut world =
            World::new(&[OPERATIONS, api_keys::OPERATIONS, usage_plan_keys::OPERATIONS]);
        for plan in ["c7y23b", "pq1zzz"] {
            let body = object(json!({"id": plan, "name": plan, "apiStages": []}));
            world.txn.put(Kind::UsagePlan, "", plan, body);
        }
        world
    }

    fn file(text: impl Into<String>) -> Call {
        call().query("format", "csv").payload(text.into())
    }

    fn key(world: &mut World, answer: &Value, place: usize) -> Value {
        let id = answer["ids"][place].as_str().unwrap().to_owned();
        world.ok("GetApiKey", call().uri("api_Key", &id).query("includeValue", true))
    }

    #[test]
    fn the_header_may_stand_in_both_orders() {
        let files = [
            format!(
                "Name,key,description,Enabled,usageplanIds\nMine,{FIRST},An imported key,TRUE,c7y23b\n"
            ),
            format!(
                "Enabled,description,Key,NAME,UsagePlanIds\r\nTRUE,An imported key,{FIRST},Mine,c7y23b"
            ),
        ];
        for text in files {
            let mut world = world();
            let answer = world.ok("ImportApiKeys", file(text));
            assert_eq!(answer["warnings"], json!([]));
            let key = key(&mut world, &answer, 0);
            assert_eq!(key["name"], "Mine");
            assert_eq!(key["value"], FIRST);
            assert_eq!(key["description"], "An imported key");
            assert_eq!(key["enabled"], true);
            let plan = world.ok("GetUsagePlanKeys", call().uri("usageplanId", "c7y23b"));
            assert_eq!(plan["item"][0]["id"], key["id"]);
        }
    }

    #[test]
    fn plans_are_quoted_singly_or_doubly_and_other_columns_ignored() {
        for quote in ['"', '\''] {
            let mut world = world();
            let text = format!(
                "name,key,color,usageplanids\n\"A, \"\"quoted\"\" name\",{FIRST},red,{quote}c7y23b, pq1zzz{quote}\n\
                 \nSecond,{SECOND},blue,\n"
            );
            let answer = world.ok("ImportApiKeys", file(text));
            assert_eq!(answer["ids"].as_array().unwrap().len(), 2);
            let key = key(&mut world, &answer, 0);
            assert_eq!(key["name"], "A, \"quoted\" name");
            assert_eq!(key["enabled"], true);
            for plan in ["c7y23b", "pq1zzz"] {
                let keys = world.ok("GetUsagePlanKeys", call().uri("usageplanId", plan));
                assert_eq!(keys["item"].as_array().unwrap().len(), 1);
            }
        }
    }

    #[test]
    fn the_same_value_again_overwrites() {
        let mut world = world();
        let made = world.ok("CreateApiKey", call().body(json!({"value": FIRST, "name": "old"})));
        let text = format!("Name,Key,Enabled\nnew,{FIRST},true\nnewest,{FIRST},true\n");
        let answer = world.ok("ImportApiKeys", file(text));
        assert_eq!(answer["ids"], json!([made["id"]]));
        assert_eq!(key(&mut world, &answer, 0)["name"], "newest");
    }

    #[test]
    fn failonwarnings_keeps_nothing() {
        let text = format!("Name,Key,UsagePlanIds\ngood,{FIRST},nowhere\nbad,short,\n,{SECOND},\n");
        let mut world = world();
        let strict = file(text.clone()).query("failonwarnings", true);
        let (_, message) = world.refused("ImportApiKeys", strict);
        assert!(message.contains("API Key value should be at least 20 characters"), "{message}");
        assert_eq!(world.ok("GetApiKeys", call())["item"], json!([]));

        let answer = world.ok("ImportApiKeys", file(text));
        assert_eq!(answer["ids"].as_array().unwrap().len(), 1);
        assert_eq!(
            answer["warnings"],
            json!([
                "Line 2: usage plan nowhere: Invalid Usage Plan ID specified",
                "Line 3: API Key value should be at least 20 characters",
                "Line 4: the API key has no name",
            ])
        );
    }

    #[test]
    fn a_file_without_its_columns_is_refused() {
        let mut world = world();
        for text in ["", "\n\n", "Name\nx\n", "Key\ny\n", "Name,Key\n\"x,y\n"] {
            world.refused("ImportApiKeys", file(text));
        }
        world.refused("ImportApiKeys", call().payload(vec![0xff, 0xfe]));
    }

    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn quoted_fields_come_back_as_they_were(
            table in prop::collection::vec(prop::collection::vec("[a-z,'\"\n\r é]{1,8}", 1..4), 1..4)
        ) {
            let text: Vec<String> = table
                .iter()
                .map(|row| row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","))
                .collect();
            let read = rows(&text.join("\r\n")).unwrap();
            let read: Vec<Vec<String>> = read.into_iter().map(|row| row.fields).collect();
            prop_assert_eq!(read, table);
        }

        #[test]
        fn no_file_panics(text in "(?s).{0,200}") {
            world().run("ImportApiKeys", file(text)).ok();
        }
    }
}
