//! A JSON Schema of the settings, for editors: they complete keys, show what each means, and mark mistakes.
//!
//! It is worked out, not written: the types are asked what they read (`probe`), the documented file says what each key
//! means, and the defaults are the built-in ones. So it cannot differ from what the program reads.

mod probe;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use self::probe::{Shape, shape_of};
use super::init::DOCUMENTED;
use super::settings::Settings;

/// The committed schema, beside the documented file.
pub const SCHEMA_FILE: &str = "config/daybook.schema.json";

/// A name in braces, in the place of a value.
const REFERENCE: &str = "#/$defs/reference";

/// A secret: only ever a reference.
const SECRET: &str = "#/$defs/secret";

/// The schema of `config/daybook.yaml`, `profiles/*.yaml` and the same as JSON (draft 2020-12).
#[must_use]
pub fn schema() -> Json {
    let documented = Documented { meanings: meanings(), defaults: defaults() };
    let mut root = documented.schema(&shape_of::<Settings>(), "");
    let name = "[A-Za-z_][A-Za-z0-9_]*";
    if let Json::Object(root) = &mut root {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("Daybook's settings"));
        root.insert(
            "$defs".to_owned(),
            json!({
                "reference": {
                    "description": "An environment variable: ${NAME}.",
                    "type": "string",
                    "pattern": format!(r"\$\{{{name}\}}"),
                },
                "secret": {
                    "anyOf": [
                        { "type": "string", "pattern": format!(r"^\$\{{{name}\}}$") },
                        only_key("file", "A file that holds the secret alone."),
                        only_key("credential", "A credential of the systemd service (LoadCredential=)."),
                        { "type": "null" },
                    ],
                },
            }),
        );
    }
    root
}

fn only_key(key: &str, meaning: &str) -> Json {
    json!({
        "type": "object",
        "properties": { key: { "type": "string", "description": meaning } },
        "required": [key],
        "additionalProperties": false,
    })
}

/// What the documented file and the defaults say of each key.
struct Documented {
    meanings: BTreeMap<String, String>,
    defaults: Json,
}

impl Documented {
    fn schema(&self, shape: &Shape, key: &str) -> Json {
        let mut schema = match shape {
            Shape::Struct(fields) => self.object(fields, key),
            other => self.value(other, key),
        };
        if let (Json::Object(schema), false) = (&mut schema, key.is_empty()) {
            if let Some(meaning) = self.meanings.get(key) {
                schema.insert("description".to_owned(), json!(meaning));
            }
            let default = key.split('.').try_fold(&self.defaults, |json, part| json.get(part));
            if let (Some(default), false) = (default, matches!(shape, Shape::Struct(_))) {
                schema.insert("default".to_owned(), default.clone());
            }
        }
        schema
    }

    fn object(&self, fields: &[(&'static str, Shape)], key: &str) -> Json {
        let mut properties = Map::new();
        for (name, shape) in fields {
            let path = if key.is_empty() { (*name).to_owned() } else { format!("{key}.{name}") };
            properties.insert((*name).to_owned(), self.schema(shape, &path));
            if shape.is_secret() {
                let meaning = format!("The file that holds `{name}`, in place of that key.");
                properties.insert(format!("{name}_file"), json!({ "type": "string", "description": meaning }));
            }
        }
        json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false })
    }

    /// The schema of anything but a section; a variable may stand in the place of a scalar.
    fn value(&self, shape: &Shape, key: &str) -> Json {
        let or_reference = |schema: Json| json!({ "anyOf": [schema, { "$ref": REFERENCE }] });
        match shape {
            Shape::Struct(fields) => self.object(fields, key),
            Shape::Optional(inner) if inner.is_secret() => json!({ "$ref": SECRET }),
            Shape::Optional(inner) => json!({ "anyOf": [self.value(inner, key), { "type": "null" }] }),
            Shape::List(item) => json!({ "type": "array", "items": self.value(item, key) }),
            Shape::Map(value) => json!({ "type": ["object", "null"], "additionalProperties": self.value(value, key) }),
            Shape::Choice(variants) => or_reference(self.choice(variants, key)),
            Shape::Bool => or_reference(json!({ "type": "boolean" })),
            Shape::Integer { min, max } => or_reference(json!({ "type": "integer", "minimum": min, "maximum": max })),
            Shape::Number => or_reference(json!({ "type": "number" })),
            Shape::Text => json!({ "type": "string" }),
            Shape::Secret => json!({ "$ref": SECRET }),
            Shape::Percentage => or_reference(json!({ "type": "string", "pattern": r"^-?\d+(\.\d{1,2})?%$" })),
            Shape::Span => {
                or_reference(json!({ "type": "string", "pattern": r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$" }))
            }
            Shape::Decimal => {
                or_reference(json!({ "type": ["number", "string"], "pattern": r"^-?\d*\.?\d+$|^-?\d+\.$" }))
            }
            Shape::Unit => json!({ "type": "null" }),
            Shape::Any => json!({}),
        }
    }

    /// One of several words, or one of several keys with its content.
    fn choice(&self, variants: &[(&'static str, Shape)], key: &str) -> Json {
        let words: Vec<&str> =
            variants.iter().filter(|(_, shape)| matches!(shape, Shape::Unit)).map(|(name, _)| *name).collect();
        let with_content = variants.iter().filter(|(_, shape)| !matches!(shape, Shape::Unit)).map(|(name, shape)| {
            json!({
                "type": "object",
                "properties": { *name: self.value(shape, key) },
                "required": [name],
                "additionalProperties": false,
            })
        });
        let mut alternatives: Vec<Json> = with_content.collect();
        if !words.is_empty() {
            alternatives.insert(0, json!({ "enum": words }));
        }
        match alternatives.as_slice() {
            [one] => one.clone(),
            _ => json!({ "anyOf": alternatives }),
        }
    }
}

fn defaults() -> Json {
    // The defaults hold text, numbers, lists and maps: JSON holds them all.
    serde_json::to_value(Settings::default()).unwrap_or_default()
}

/// What the documented file says of each key, in the comment behind it and the comments that go on below.
fn meanings() -> BTreeMap<String, String> {
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut meanings: BTreeMap<String, String> = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in DOCUMENTED.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        // A secret's line is a comment: its key stands behind the `#`, with its meaning.
        let content = text.strip_prefix("# ").filter(|rest| rest.contains(": ${")).unwrap_or(text);
        if content.starts_with('#') || content.is_empty() {
            if let (Some(key), Some(more)) = (&last, content.strip_prefix("# ").filter(|_| indent > 0)) {
                meanings.entry(key.clone()).and_modify(|meaning| meaning.push_str(&format!(" {}", more.trim())));
            }
            continue;
        }
        let Some((key, rest)) = content.split_once(':') else { continue };
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key));
        let full = path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
        if let Some((_, meaning)) = rest.split_once(" # ") {
            meanings.insert(full.clone(), meaning.trim().to_owned());
            last = Some(full);
        } else {
            last = None;
        }
    }
    meanings
}

#[cfg(test)]
mod tests {
    use super::super::load::known_keys;
    use super::super::settings::SECRETS;
    use super::*;

    /// The schema of a key.
    fn at<'a>(schema: &'a Json, key: &str) -> Option<&'a Json> {
        key.split('.').try_fold(schema, |schema, part| schema.get("properties")?.get(part))
    }

    #[test]
    fn every_key_is_there_with_its_meaning() {
        let schema = schema();
        for key in known_keys() {
            // A choice with a content is one key, whatever its default chooses.
            let parts: Vec<&str> = key.split('.').collect();
            let found = (1..=parts.len()).rev().find_map(|length| at(&schema, &parts[..length].join(".")));
            let found = found.unwrap_or_else(|| panic!("{key} is not in the schema"));
            assert!(found.get("description").is_some(), "{key} is not explained: {found}");
        }
        for key in SECRETS {
            assert_eq!(at(&schema, key).unwrap()["$ref"], SECRET, "{key}");
            assert!(at(&schema, &format!("{key}_file")).is_some(), "{key}");
        }
    }

    #[test]
    fn types_words_and_limits_are_the_program_s() {
        let schema = schema();
        let of = |key| at(&schema, key).unwrap();
        assert_eq!(of("market.feed")["anyOf"][0], json!({ "enum": ["simulated", "files", "alpaca"] }));
        assert_eq!(of("risk.max_positions")["anyOf"][0]["maximum"], u32::MAX);
        assert_eq!(of("risk.max_daily_loss")["default"], "2000.00");
        assert_eq!(of("risk.max_daily_loss")["anyOf"][0]["type"], json!(["number", "string"]));
        assert_eq!(of("risk.warning_at")["anyOf"][0]["type"], "string");
        assert_eq!(of("alpaca.symbols")["type"], "array");
        assert_eq!(of("notifications.email.port")["anyOf"][1]["type"], "null");
        let entry = &of("risk.entry_order")["anyOf"][0]["anyOf"];
        assert_eq!(entry[0], json!({ "enum": ["market"] }));
        assert_eq!(entry[1]["required"], json!(["limit"]));
        assert_eq!(of("risk")["additionalProperties"], false);
        assert!(of("reconcile.on_difference")["description"].as_str().unwrap().ends_with("closes it"));
    }
}
