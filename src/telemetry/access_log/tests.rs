use std::fs;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Handle;

use crate::call::{ExtendedId, IntegrationReport, RefusalReport};
use crate::net::clock::Timestamp;
use crate::net::tasks::Tasks;
use crate::telemetry::access_log::escape::Escaping;
use crate::telemetry::access_log::{
    AccessLogError, AccessLogs, Config, Format, FormatError, Identity, Record,
};

const INTEGRATION: IntegrationReport = IntegrationReport {
    status: 201,
    latency_ms: 17,
    function_status: None,
    error: None,
    request_id: None,
    is_streamed: false,
};

fn record() -> Record<'static> {
    Record {
        request_id: Some(b"01234567-89ab-4def-8123-456789abcdef"),
        extended_request_id: ExtendedId(*b"cXNV7F7iPHcFoDA="),
        received_at: Timestamp::from_millis(1_700_000_000_123),
        http_method: "GET",
        path: "/prod/pets/7",
        resource_path: "/pets/{id}",
        resource_id: "a1b2c3",
        protocol: "HTTP/1.1",
        domain_name: "abcdefghij.execute-api.eu-west-1.gateway.localhost",
        user_agent: b"curl/8.5.0",
        base_path_matched: "",
        routing_rule_matched: "",
        xray_trace_id: "1-5759e988-bd862e3fe1be46a994272793",
        account_id: "123456789012",
        api_id: "abcdefghij",
        stage: "prod",
        deployment_id: "d1e2f3",
        is_canary_request: None,
        endpoint_type: "EDGE",
        source_ip: [203, 0, 113, 9].into(),
        identity: Identity::default(),
        tls_version: "TLSv1.3",
        cipher_suite: "TLS_AES_128_GCM_SHA256",
        status: 200,
        response_length: 1024,
        response_latency_ms: 23,
        integration: Some(&INTEGRATION),
        refusal: None,
    }
}

fn line(format: &str, record: &Record<'_>) -> String {
    let mut line = Vec::new();
    Format::compile(format).unwrap().render(record, &mut line);
    String::from_utf8(line).unwrap()
}

/// `format` behind a request id, which every format needs.
fn value(format: &str, record: &Record<'_>) -> String {
    let line = line(&format!("{format}|$context.requestId"), record);
    line.rsplit_once('|').unwrap().0.to_owned()
}

#[test]
fn presets_are_what_the_console_offers() {
    let id = "01234567-89ab-4def-8123-456789abcdef";
    assert_eq!(
        line("CLF", &record()),
        format!(
            "203.0.113.9 - - [14/Nov/2023:22:13:20 +0000] \"GET /pets/{{id}} HTTP/1.1\" 200 1024 \
             {id} cXNV7F7iPHcFoDA="
        )
    );
    assert_eq!(
        line("CSV\n", &record()),
        format!(
            "203.0.113.9,-,-,14/Nov/2023:22:13:20 +0000,GET,/pets/{{id}},HTTP/1.1,200,1024,{id},\
             cXNV7F7iPHcFoDA="
        )
    );
    let json: serde_json::Value = serde_json::from_str(&line("JSON", &record())).unwrap();
    assert_eq!(json["requestId"], id);
    assert_eq!(json["ip"], "203.0.113.9");
    assert_eq!(json["status"], "200");
    assert_eq!(json["caller"], "-");
    assert_eq!(
        line("XML", &record()),
        format!(
            "<request id=\"{id}\"><ip>203.0.113.9</ip><caller>-</caller><user>-</user>\
             <requestTime>14/Nov/2023:22:13:20 +0000</requestTime><httpMethod>GET</httpMethod>\
             <resourcePath>/pets/{{id}}</resourcePath><status>200</status>\
             <protocol>HTTP/1.1</protocol><responseLength>1024</responseLength>\
             <extendedRequestId>cXNV7F7iPHcFoDA=</extendedRequestId></request>"
        )
    );
}

#[test]
fn every_variable_prints_its_value() {
    let refusal = RefusalReport {
        response_type: "THROTTLED".into(),
        message: "Too \"many\"".into(),
        validation_error: Some("[object (\"id\")]".into()),
        cause: None,
        request_body: None,
    };
    let identity = Identity {
        caller: "AIDA1",
        user: "AIDA2",
        user_arn: "arn:aws:iam::1:user/a",
        account_id: "1",
        access_key: "AKIA",
        principal_org_id: "o-1",
        api_key_id: "k1",
        principal_id: "p1",
    };
    let record = Record { refusal: Some(&refusal), identity, ..record() };
    for (name, expected) in [
        ("requestId", "01234567-89ab-4def-8123-456789abcdef"),
        ("extendedRequestId", "cXNV7F7iPHcFoDA="),
        ("requestTime", "14/Nov/2023:22:13:20 +0000"),
        ("requestTimeEpoch", "1700000000123"),
        ("httpMethod", "GET"),
        ("path", "/prod/pets/7"),
        ("resourcePath", "/pets/{id}"),
        ("resourceId", "a1b2c3"),
        ("protocol", "HTTP/1.1"),
        ("domainName", "abcdefghij.execute-api.eu-west-1.gateway.localhost"),
        ("domainPrefix", "abcdefghij"),
        ("xrayTraceId", "1-5759e988-bd862e3fe1be46a994272793"),
        ("accountId", "123456789012"),
        ("apiId", "abcdefghij"),
        ("stage", "prod"),
        ("deploymentId", "d1e2f3"),
        ("endpointType", "EDGE"),
        ("tlsVersion", "TLSv1.3"),
        ("cipherSuite", "TLS_AES_128_GCM_SHA256"),
        ("identity.sourceIp", "203.0.113.9"),
        ("identity.userAgent", "curl/8.5.0"),
        ("identity.caller", "AIDA1"),
        ("identity.user", "AIDA2"),
        ("identity.userArn", "arn:aws:iam::1:user/a"),
        ("identity.accountId", "1"),
        ("identity.accessKey", "AKIA"),
        ("identity.principalOrgId", "o-1"),
        ("identity.apiKeyId", "k1"),
        ("authorizer.principalId", "p1"),
        ("status", "200"),
        ("responseLength", "1024"),
        ("responseLatency", "23"),
        ("integrationStatus", "201"),
        ("integration.status", "201"),
        ("integration.integrationStatus", "201"),
        ("integrationLatency", "17"),
        ("integration.latency", "17"),
        ("error.message", "Too \\\"many\\\""),
        ("error.messageString", "\"Too \\\"many\\\"\""),
        ("error.responseType", "THROTTLED"),
        ("error.validationErrorString", "[object (\\\"id\\\")]"),
    ] {
        assert_eq!(value(&format!("$context.{name}"), &record), expected, "{name}");
    }
}

/// rest-data-plane 11.2: what an integration did, for good or ill, and the way into a custom domain.
#[test]
fn integrations_and_custom_domains_have_their_variables() {
    let function = IntegrationReport { function_status: Some(418), ..INTEGRATION };
    let service = IntegrationReport { request_id: Some("SQS-1".into()), ..INTEGRATION };
    let failed = IntegrationReport {
        status: 0,
        error: Some("Execution failed due to a timeout error".into()),
        ..INTEGRATION
    };
    let streamed = IntegrationReport { is_streamed: true, ..INTEGRATION };
    for (report, name, expected) in [
        (&function, "integration.status", "418"),
        (&function, "integration.integrationStatus", "201"),
        (&function, "integrationStatus", "201"),
        (&function, "integration.error", "-"),
        (&service, "integration.requestId", "SQS-1"),
        (&service, "awsEndpointRequestId", "SQS-1"),
        (&service, "integration.responseTransferMode", "BUFFERED"),
        (&service, "integration.timeToAllHeaders", "-"),
        (&failed, "integration.error", "Execution failed due to a timeout error"),
        (&failed, "integrationErrorMessage", "Execution failed due to a timeout error"),
        (&failed, "integration.status", "-"),
        (&failed, "integrationStatus", "-"),
        (&failed, "integration.latency", "17"),
        (&streamed, "integration.responseTransferMode", "STREAMED"),
        (&streamed, "integration.timeToAllHeaders", "17"),
    ] {
        let record = Record { integration: Some(report), ..record() };
        assert_eq!(value(&format!("$context.{name}"), &record), expected, "{name}");
    }
    let record = Record { base_path_matched: "v1", routing_rule_matched: "r1", ..record() };
    assert_eq!(value("$context.customDomain.basePathMatched", &record), "v1");
    assert_eq!(value("$context.customDomain.routingRuleIdMatched", &record), "r1");
}

/// AWS: "Variables for access logging": a value that is not there prints `-`.
#[test]
fn absent_and_unknown_values_print_a_hyphen() {
    let record = Record { integration: None, tls_version: "", ..record() };
    for name in [
        "integrationStatus",
        "integration.latency",
        "tlsVersion",
        "error.message",
        "error.messageString",
        "identity.apiKey",
        "authorizer.claims.sub",
        "identity.clientCert.subjectDN",
        "nonsense",
        "status.code",
    ] {
        assert_eq!(value(&format!("$context.{name}"), &record), "-", "{name}");
    }
    let format = Format::compile(
        "$context.requestId $context.statusCode $context.waf.error $context.authorizer.x",
    );
    assert_eq!(format.unwrap().unknown(), ["statusCode"]);
}

#[test]
fn a_name_ends_where_no_name_goes_on() {
    for (format, expected) in [
        ("[$context.status]", "[200]"),
        ("$context.status.", "200."),
        ("$context.status..x", "200..x"),
        ("$context.status-$context.stage", "200-prod"),
        ("$context.status$context.stage", "200prod"),
        ("$context.statusCode", "-"),
        ("$context.status_", "-"),
        ("$context.identity.sourceIp.", "203.0.113.9."),
        ("$context.", "$context."),
        ("$context. $contex.status $$context.status", "$context. $contex.status $200"),
        ("$context.$context.status", "$context.200"),
        ("$stageVariables.x ${context.status} é", "$stageVariables.x ${context.status} é"),
    ] {
        assert_eq!(value(format, &record()), expected, "{format}");
    }
}

#[test]
fn a_format_that_aws_refuses_is_refused() {
    assert_eq!(Format::compile("$context.status").unwrap_err(), FormatError::NoRequestId);
    assert_eq!(Format::compile("").unwrap_err(), FormatError::NoRequestId);
    assert_eq!(Format::compile("clf").unwrap_err(), FormatError::NoRequestId);
    assert_eq!(Format::compile("$context.requestIds").unwrap_err(), FormatError::NoRequestId);
    assert!(Format::compile("$context.extendedRequestId").is_ok());
    assert_eq!(Format::compile("a\n$context.requestId").unwrap_err(), FormatError::NotOneLine);
    let text = |bytes: usize| format!("{}$context.requestId", "x".repeat(bytes - 18));
    assert!(Format::compile(&text(3_072)).is_ok());
    assert_eq!(Format::compile(&text(3_073)).unwrap_err(), FormatError::TooLong { bytes: 3_073 });
}

#[test]
fn clients_cannot_forge_lines_or_fields() {
    let agent = b"x\"}\n{\"status\":\"200\",\x1b[2J\\ \xff<b>&'\x7f";
    let record = Record { user_agent: agent, ..record() };
    assert_eq!(
        value("$context.identity.userAgent", &record),
        r#"x\"}\x0a{\"status\":\"200\",\x1b[2J\\ \xff<b>&'\x7f"#
    );
    let json =
        line(r#"{"id":"$context.requestId","agent":"$context.identity.userAgent"}"#, &record);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["agent"], "x\"}\n{\"status\":\"200\",\u{1b}[2J\\ \u{ff}<b>&'\u{7f}");
    assert_eq!(
        line("<r><id>$context.requestId</id><a>$context.identity.userAgent</a></r>", &record),
        "<r><id>01234567-89ab-4def-8123-456789abcdef</id><a>x&quot;}\\x0a{&quot;status&quot;:\
         &quot;200&quot;,\\x1b[2J\\ \\xff&lt;b&gt;&amp;&apos;\\x7f</a></r>"
    );
}

#[test]
fn addresses_and_times_keep_their_forms() {
    for (address, expected) in
        [("::ffff:10.1.2.3", "10.1.2.3"), ("2001:db8::1", "2001:db8::1"), ("0.0.0.0", "0.0.0.0")]
    {
        let record = Record { source_ip: address.parse().unwrap(), ..record() };
        assert_eq!(value("$context.identity.sourceIp", &record), expected);
    }
    for (seconds, expected) in [
        (0, "01/Jan/1970:00:00:00 +0000"),
        (951_782_400, "29/Feb/2000:00:00:00 +0000"),
        (253_370_764_799, "31/Dec/9998:23:59:59 +0000"),
        (u64::MAX / 1_000_000, "--------------------------"),
    ] {
        let record = Record { received_at: Timestamp::from_seconds(seconds), ..record() };
        assert_eq!(value("$context.requestTime", &record), expected);
    }
    let record = Record { response_length: u64::MAX, ..record() };
    assert_eq!(value("$context.responseLength", &record), u64::MAX.to_string());
}

/// A hundred copies of a long header are not worth the memory.
#[test]
fn a_line_has_an_end() {
    let agent = vec![b'"'; 10_000];
    let format = format!("$context.requestId{}", " $context.identity.userAgent".repeat(100));
    let line = line(&format, &Record { user_agent: &agent, ..record() });
    assert!((1_000_000..1_020_100).contains(&line.len()), "{}", line.len());
}

proptest! {
    /// Whatever the client sends, a line is one line, and a JSON line gives the text back.
    #[test]
    fn any_text_stays_one_value(agent in proptest::collection::vec(any::<u8>(), 0..200)) {
        for escaping in [Escaping::Plain, Escaping::Json, Escaping::Xml] {
            let mut line = Vec::new();
            escaping.push(&agent, &mut line);
            let line = String::from_utf8(line).unwrap();
            prop_assert!(!line.chars().any(char::is_control));
            if escaping == Escaping::Json
                && let Ok(text) = std::str::from_utf8(&agent)
                && !text.contains(['\u{2028}', '\u{2029}'])
            {
                let back: String = serde_json::from_str(&format!("\"{line}\"")).unwrap();
                prop_assert_eq!(back, text);
            }
        }
    }

    /// Compiling never panics, and what compiles renders one line.
    #[test]
    fn any_format_is_judged(text in ".{0,80}") {
        let text = format!("$context.requestId{text}");
        if let Ok(format) = Format::compile(&text) {
            let mut line = Vec::new();
            format.render(&record(), &mut line);
            prop_assert!(!line.contains(&b'\n'));
        }
    }
}

fn logs(folder: &tempfile::TempDir) -> (AccessLogs, Tasks) {
    let tasks = Tasks::new(Handle::current());
    (AccessLogs::start(Config { folder: folder.path().to_owned() }, &tasks), tasks)
}

fn short() -> Format {
    Format::compile("$context.requestId $context.status").unwrap()
}

#[tokio::test(start_paused = true)]
async fn lines_reach_the_file_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, tasks) = logs(&folder);
    let log = logs.open("logs/access.log").unwrap();
    log.write(&short(), &record());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let text = fs::read_to_string(folder.path().join("logs/access.log")).unwrap();
    assert_eq!(text, "01234567-89ab-4def-8123-456789abcdef 200\n");
    assert_eq!((logs.lines_written(), logs.lines_dropped()), (1, 0));

    // The last words of a node that stops.
    log.write(&short(), &record());
    tasks.stopped().cancel();
    tasks.ended().await;
    let text = fs::read_to_string(folder.path().join("logs/access.log")).unwrap();
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_threads_share_a_log_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, _tasks) = logs(&folder);
    let format = short();
    std::thread::scope(|scope| {
        for thread in 0..20u16 {
            let (log, format) = (logs.open("access.log").unwrap(), &format);
            scope.spawn(move || {
                for _ in 0..100 {
                    log.write(format, &Record { status: 100 + thread, ..record() });
                }
            });
        }
    });
    logs.flush();
    let text = fs::read_to_string(folder.path().join("access.log")).unwrap();
    assert_eq!(text.lines().count(), 2_000);
    for status in 100..120 {
        assert_eq!(text.lines().filter(|line| line.ends_with(&format!(" {status}"))).count(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, _tasks) = logs(&folder);
    let log = logs.open("access.log").unwrap();
    let agent = vec![b'a'; 10_000];
    let format = Format::compile("$context.requestId $context.identity.userAgent").unwrap();
    for _ in 0..300 {
        log.write(&format, &Record { user_agent: &agent, ..record() });
    }
    logs.flush();
    // 2 MiB hold 208 lines of 10,038 bytes.
    assert_eq!((logs.lines_written(), logs.lines_dropped()), (208, 92));
    let text = fs::read_to_string(folder.path().join("access.log")).unwrap();
    assert!(text.lines().all(|line| line.len() == 10_037), "a line was cut");
    assert_eq!(text.lines().count(), 208);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, _tasks) = logs(&folder);
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = logs.open("access.log").unwrap();
    log.write(&short(), &record());
    logs.flush();
    fs::rename(&path, &old).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    log.write(&short(), &Record { status: 404, ..record() });
    logs.flush();
    assert!(fs::read_to_string(&old).unwrap().ends_with("200\n"));
    assert!(fs::read_to_string(&path).unwrap().ends_with("404\n"));
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_file_costs_lines_until_it_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, _tasks) = logs(&folder);
    let path = folder.path().join("access.log");
    fs::create_dir(&path).unwrap();
    let log = logs.open("access.log").unwrap();
    log.write(&short(), &record());
    logs.flush();
    assert_eq!((logs.lines_written(), logs.lines_dropped()), (0, 1));
    fs::remove_dir(&path).unwrap();
    log.write(&short(), &record());
    logs.flush();
    assert_eq!((logs.lines_written(), logs.lines_dropped()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn destinations_stay_inside_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, _tasks) = logs(&folder);
    for outside in ["/etc/passwd", "../x", "a/../../x", "", "./x", "a\0b"] {
        assert!(
            matches!(logs.open(outside), Err(AccessLogError::Outside(text)) if text == outside),
            "{outside:?}"
        );
    }
    assert!(logs.open("-").is_ok());
    let one = logs.open("a/b.log").unwrap();
    assert!(Arc::ptr_eq(&one, &logs.open("a/b.log").unwrap()));
}

/// A stage that is gone leaves its last lines and no open file behind.
#[tokio::test(start_paused = true)]
async fn a_log_nobody_names_is_closed_after_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, _tasks) = logs(&folder);
    let log = logs.open("access.log").unwrap();
    log.write(&short(), &record());
    let weak = Arc::downgrade(&log);
    drop(log);
    logs.flush();
    assert!(weak.upgrade().is_none());
    assert_eq!(fs::read_to_string(folder.path().join("access.log")).unwrap().lines().count(), 1);
}

/// AWS: "Important notes": an `x-amzn-RequestId` that is no UUID.
#[test]
fn an_invalid_request_id_is_named_so() {
    let record = Record { request_id: None, ..record() };
    let format = Format::compile("$context.requestId $context.status").unwrap();
    let mut line = Vec::new();
    format.render(&record, &mut line);
    assert!(line.starts_with(b"UUID_REPLACED_INVALID_REQUEST_ID "));
}
