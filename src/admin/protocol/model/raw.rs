//! How is botocore's form of a service model read? Its JSON as it is, and our shapes of it.

use http::StatusCode;
use indexmap::IndexMap;
use regex::RegexBuilder;
use serde::Deserialize;

use crate::admin::protocol::model::{
    DateFormat, Form, Member, ModelError, Operation, Pattern, Range, Segment, Service, ShapeId,
    Structure, Text,
};

pub(super) fn form(
    name: &str,
    raw: &RawShape,
    find: &impl Fn(&str) -> Result<ShapeId, ModelError>,
) -> Result<Form, ModelError> {
    let inner = |reference: &Option<RawReference>| match reference {
        Some(reference) => find(&reference.shape),
        None => Err(ModelError::UnknownShape(format!("inner shape of {name}"))),
    };
    let range = Range { min: raw.min, max: raw.max };
    Ok(match raw.form.as_str() {
        "structure" => Form::Structure(Box::new(structure(name, raw, find)?)),
        "list" => Form::List(inner(&raw.member)?),
        "map" => Form::Map(inner(&raw.value)?),
        "string" => Form::Text(Text {
            values: raw.values.clone(),
            length: range,
            pattern: raw.pattern.as_deref().map(|text| pattern(name, text)).transpose()?,
        }),
        "integer" => Form::Integer(range),
        "long" => Form::Long(range),
        "double" => Form::Double,
        "boolean" => Form::Boolean,
        "blob" => Form::Blob,
        "timestamp" => Form::Timestamp(match raw.timestamp_format.as_deref() {
            Some("iso8601") => DateFormat::Iso8601,
            // The protocol's own: restJson1 writes dates in bodies as numbers.
            _ => DateFormat::Number,
        }),
        form => {
            return Err(ModelError::UnknownForm { shape: name.to_owned(), form: form.to_owned() });
        }
    })
}

fn pattern(shape: &str, text: &str) -> Result<Pattern, ModelError> {
    // Java's `\d` is ASCII, and `matches` wants the whole text.
    let regex = RegexBuilder::new(&format!("^(?:{text})$"))
        .unicode(false)
        .build()
        .map_err(|error| ModelError::Pattern { shape: shape.to_owned(), error })?;
    Ok(Pattern { text: text.into(), regex })
}

fn structure(
    name: &str,
    raw: &RawShape,
    find: &impl Fn(&str) -> Result<ShapeId, ModelError>,
) -> Result<Structure, ModelError> {
    let mut structure = Structure::default();
    for (member_name, raw_member) in &raw.members {
        let member = Member {
            name: member_name.as_str().into(),
            shape: find(&raw_member.shape)?,
            required: raw.required.contains(member_name),
            values: raw_member.values.clone(),
        };
        let wire = raw_member.location_name.as_deref().unwrap_or(member_name);
        if raw.payload.as_deref() == Some(member_name) {
            structure.payload = Some(member);
            continue;
        }
        let place = match raw_member.location.as_deref() {
            Some("uri") => &mut structure.uri,
            // Only the free-form maps have no name on the wire.
            Some("querystring") if raw_member.location_name.is_none() => {
                structure.free_query = Some(member);
                continue;
            }
            Some("querystring") => &mut structure.query,
            Some("header") => &mut structure.headers,
            _ => &mut structure.body,
        };
        if place.insert(wire.into(), member).is_some() {
            return Err(ModelError::TwoMembers {
                structure: name.to_owned(),
                member: wire.to_owned(),
            });
        }
    }
    Ok(structure)
}

pub(super) fn operation(
    service: Service,
    name: &str,
    raw: &RawOperation,
    find: &impl Fn(&str) -> Result<ShapeId, ModelError>,
) -> Result<Operation, ModelError> {
    let binding = || ModelError::Binding { operation: name.to_owned() };
    let (path, query) = raw.http.request_uri.split_once('?').unwrap_or((&raw.http.request_uri, ""));
    let path = path.strip_prefix('/').ok_or_else(binding)?;
    let fixed_query = query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    Ok(Operation {
        service,
        name: name.into(),
        method: raw.http.method.parse().map_err(|_| binding())?,
        path: path.split('/').map(segment).collect(),
        fixed_query,
        status: StatusCode::from_u16(raw.http.response_code).map_err(|_| binding())?,
        input: raw.input.as_ref().map(|shape| find(&shape.shape)).transpose()?,
        output: raw.output.as_ref().map(|shape| find(&shape.shape)).transpose()?,
    })
}

fn segment(piece: &str) -> Segment {
    let label = piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match label.map(|label| (label, label.strip_suffix('+'))) {
        Some((_, Some(greedy))) => Segment::Greedy(greedy.into()),
        Some((label, None)) => Segment::Label(label.into()),
        None => Segment::Fixed(piece.into()),
    }
}

#[derive(Deserialize)]
pub(super) struct RawModel {
    pub(super) operations: IndexMap<String, RawOperation>,
    pub(super) shapes: IndexMap<String, RawShape>,
}

#[derive(Deserialize)]
pub(super) struct RawOperation {
    pub(super) http: RawHttp,
    pub(super) input: Option<RawReference>,
    pub(super) output: Option<RawReference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawHttp {
    pub(super) method: String,
    pub(super) request_uri: String,
    #[serde(default = "ok")]
    pub(super) response_code: u16,
}

fn ok() -> u16 {
    StatusCode::OK.as_u16()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawShape {
    #[serde(rename = "type")]
    pub(super) form: String,
    #[serde(default)]
    pub(super) members: IndexMap<String, RawReference>,
    #[serde(default)]
    pub(super) required: Vec<String>,
    pub(super) payload: Option<String>,
    pub(super) member: Option<RawReference>,
    pub(super) value: Option<RawReference>,
    #[serde(default, rename = "enum")]
    pub(super) values: Vec<Box<str>>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) pattern: Option<String>,
    pub(super) timestamp_format: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawReference {
    pub(super) shape: String,
    pub(super) location: Option<String>,
    pub(super) location_name: Option<String>,
    #[serde(default, rename = "enum")]
    pub(super) values: Vec<Box<str>>,
}
