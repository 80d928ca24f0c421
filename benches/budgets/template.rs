//! A mapping template as APIs have them: 2 KB, 20 references, one loop.

use indexmap::IndexMap;
use serde_json::{Value, json};
use tidegate::mapping::template::{Input, Limits, ListedParameters, Overrides, Scope, Template};

pub(crate) struct World {
    template: Template,
    body: String,
    parameters: ListedParameters,
    context: Value,
    stage_variables: IndexMap<String, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let order = json!({
            "id": 4711, "customer": {"name": "Ada", "mail": "ada@example.com", "tier": "gold"},
            "items": [{"sku": "a-1", "n": 1, "price": 9.5}, {"sku": "b-2", "n": 3, "price": 12},
                {"sku": "c-3", "n": 2, "price": 0.75}],
            "note": "leave it \"there\"",
        });
        Self {
            template: Template::compile(&text()).unwrap(),
            body: order.to_string(),
            parameters: ListedParameters {
                path: vec![("id".into(), "4711".into())],
                query: vec![("page".into(), "2".into())],
                header: vec![("Accept".into(), "*/*".into())],
            },
            context: json!({"requestId": "r-1", "stage": "prod", "identity": {"sourceIp": "::1"}}),
            stage_variables: IndexMap::from([("table".to_owned(), "orders".to_owned())]),
        }
    }

    pub(crate) fn render(&self) -> String {
        let mut scope = Scope {
            input: Input { body: &self.body, parameters: &self.parameters },
            context: &self.context,
            stage_variables: &self.stage_variables,
            overrides: Overrides::default(),
            limits: Limits::default(),
        };
        self.template.render(&mut scope).unwrap()
    }
}

fn text() -> String {
    let head = r#"#set($root = $input.path('$'))
#set($customer = $root.customer)
{
  "table": "$stageVariables.table", "request": "$context.requestId", "stage": "$context.stage",
  "ip": "$context.identity.sourceIp", "id": "$input.params('id')", "page": "$input.params('page')",
  "name": "$customer.name", "mail": "$customer.mail", "tier": "$customer.tier",
  "note": "$util.escapeJavaScript($root.note)", "raw": $input.json('$.customer'),
  "vip": #if($customer.tier == "gold")true#{else}false#end,
  "items": [
#foreach($item in $root.items)
    {"sku": "$item.sku", "count": $item.n, "price": $item.price, "last": #if($foreach.hasNext)false#{else}true#end}#if($foreach.hasNext),#end

#end
  ],
"#;
    // The rest of a template of this size is text.
    let filler: String = (0..14)
        .map(|n| {
            format!("  \"constant-{n}\": {{\"S\": \"a text that stays as it is, number {n}\"}},\n")
        })
        .collect();
    format!("{head}{filler}  \"accept\": \"$input.params('Accept')\"\n}}\n")
}
