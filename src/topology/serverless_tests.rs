//! Functions of templates, and what of them is refused.

use std::fs;
use std::time::Duration;

use super::*;
use crate::node::config::FunctionsConfig;
use crate::topology::{Overrides, read_text};

const SHOP: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: { Type: String, Default: hello }
  Seconds: { Type: Number, Default: 7 }
  Unused: { Type: String, Default: x }
Globals:
  Function:
    Runtime: python3.12
    Timeout: !Ref Seconds
    Environment: { Variables: { SHARED: all, OWN: global } }
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello/
      Handler: app.handler
      AutoPublishAlias: live
      Environment: { Variables: { OWN: !Ref Greeting, PORT: 80, TABLE: !Ref Table } }
      Events: { Get: { Type: Api, Properties: { Path: /hello, Method: get } } }
  Named:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: named
      CodeUri: ../named.zip
      Runtime: provided.al2023
      Handler: bootstrap
      MemorySize: 256
      Timeout: 20
      Environment: { Variables: { API: !Sub "https://${ServerlessRestApi}/" } }
  Table: { Type: AWS::DynamoDB::Table, Properties: { TableName: pets } }
"#;
const ENTRY: &str = "template = \"shop.template.yaml\"\nenvironment = { API = \"set\" }\n";

/// The template in a folder of its own, and an entry for it with more of the topology behind.
fn functions(template: &str, entry: &str) -> (FunctionsConfig, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.template.yaml"), template).unwrap();
    let text = format!("[region]\n[[function]]\n{entry}");
    let topology = read_text("t.toml", folder.path(), &text, &Overrides::default());
    (topology.unwrap_or_else(|problems| panic!("{problems}")).region.functions, folder)
}

/// Exactly one problem, at this line of the template.
#[track_caller]
fn refused(template: &str, entry: &str, line: &str, says: &str) {
    let (functions, _folder) = functions(template, entry);
    let found = &functions.problems.found;
    assert!(found.len() == 1, "{says}: {found:#?}");
    let at = template.lines().position(|text| text.contains(line)).unwrap() + 1;
    let said = found[0].to_string();
    assert!(said.contains(&format!("shop.template.yaml:{at}:")), "{at}: {said}");
    assert!(said.contains(says), "{says}? {said}");
}

#[test]
fn functions_of_a_template_are_read_with_its_globals() {
    let (read, folder) = functions(SHOP, ENTRY);
    assert_eq!(read.problems.found, []);
    let runtime = |name| Runtime::parse(name).unwrap();
    let texts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let hello = Package::Folder(folder.path().join("hello/"));
    let mut hello =
        FunctionConfig::new("shop-Hello", runtime("python3.12"), Some("app.handler"), hello);
    hello.timeout = Duration::from_secs(7);
    hello.aliases = vec!["live".to_owned()];
    hello.environment = texts(&[
        ("SHARED", "all"),
        ("OWN", "hello"),
        ("PORT", "80"),
        ("TABLE", "pets"),
        ("API", "set"),
    ]);
    let named = Package::Zip(folder.path().join("../named.zip"));
    let mut named =
        FunctionConfig::new("named", runtime("provided.al2023"), Some("bootstrap"), named);
    named.timeout = Duration::from_secs(20);
    named.memory_mb = 256;
    named.environment = texts(&[("SHARED", "all"), ("OWN", "global"), ("API", "set")]);
    assert_eq!(read.functions, [hello, named]);
}

#[test]
fn an_entry_says_what_counts_for_all_and_goes_before_the_template() {
    let more = format!(
        "{ENTRY}stack_name = \"pets\"\nparameters = {{ Greeting = \"hi\" }}\nconcurrency = 3\n\
         [[function]]\nname = \"named\"\nendpoint = \"http://127.0.0.1:9001\"\n"
    );
    let (read, _folder) = functions(SHOP, &more);
    assert_eq!(read.problems.found, []);
    let [hello] = read.functions.as_slice() else { panic!("{:?}", read.functions) };
    assert_eq!((hello.name.as_str(), hello.concurrency), ("pets-Hello", 3));
    assert_eq!(hello.environment["OWN"], "hi");
    // What has an entry of its own may be whatever the template says.
    let image = SHOP.replace("CodeUri: ../named.zip", "PackageType: Image");
    let (read, _folder) = functions(&image, &more);
    assert_eq!((read.functions.len(), read.problems.found.len()), (1, 0));
}

#[test]
fn what_cannot_be_run_is_refused_by_file_and_line() {
    for (there, instead, says) in [
        ("CodeUri: hello/", "CodeUri: s3://bucket/key", "code is not fetched from elsewhere"),
        ("CodeUri: hello/", "CodeUri: { Bucket: b, Key: k }", "code is not fetched from elsewhere"),
        ("CodeUri: hello/", "InlineCode: pass", "the code must be a folder or a zip file"),
        ("CodeUri: hello/", "ImageUri: shop", "container images are not run here"),
        ("Handler: app.handler", "Handler: a b", "`a b` is no handler"),
        ("Runtime: provided.al2023", "Runtime: java21", "runtime `java21` is not known here"),
        ("MemorySize: 256", "MemorySize: 64", "64 is not between 128 and 10240"),
        ("Timeout: 20", "Timeout: 901", "is not between"),
        ("FunctionName: named", "Layers: [arn]", "layers are not put together here"),
        ("CodeUri: ../named.zip", "CodeUri: !Ref Nobody", "no parameter or resource `Nobody`"),
        (
            "Greeting: { Type: String, Default: hello }",
            "Greeting: { Type: String }",
            "[[function]]",
        ),
        ("AutoPublishAlias: live", "AutoPublishAlias: a b", "neither an alias nor a version"),
    ] {
        assert_eq!(SHOP.matches(there).count(), 1, "{there}");
        refused(&SHOP.replace(there, instead), ENTRY, instead, says);
    }
    let unset = "template = \"shop.template.yaml\"\n";
    refused(SHOP, unset, "${ServerlessRestApi}", "set it in `environment`");
    refused(
        &SHOP.replace("OWN: !Ref Greeting", "AWS_REGION: x"),
        ENTRY,
        "AWS_REGION",
        "`AWS_REGION` cannot be set",
    );
}

#[test]
fn a_template_that_is_not_there_is_a_problem_of_the_region_only() {
    let (read, _folder) = functions(SHOP, "template = \"none.yaml\"\n");
    let said = read.problems.to_string();
    assert!(said.contains("none.yaml: cannot be read"), "{said}");
    let (read, _folder) = functions("Resources: { T: { Type: AWS::SNS::Topic } }", ENTRY);
    let said = read.problems.to_string();
    assert!(said.contains("no AWS::Serverless::Function"), "{said}");
}
