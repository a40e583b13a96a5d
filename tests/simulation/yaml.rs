//! Values as block YAML, so that the workflow of a failed seed can be read and run as it is.

use serde_json::Value;

/// A document.
pub(super) fn render(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                text.push_str(&format!("{:indent$}{}:", "", scalar(&Value::from(key.as_str()))));
                nested(value, indent + 2, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                let mut item = String::new();
                nested(value, indent + 2, &mut item);
                // The first line of an item stands behind its dash.
                text.push_str(&format!("{:indent$}- {}", "", item.trim_start()));
            }
        }
        _ => text.push_str(&scalar(value)),
    }
}

fn nested(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            text.push('\n');
            block(value, indent, text);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            block(value, indent, text);
        }
        _ => text.push_str(&format!(" {}\n", scalar(value))),
    }
}

/// Words stay bare; everything else is JSON, which YAML reads as it is.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(word) if is_bare(word) => word.clone(),
        _ => value.to_string(),
    }
}

fn is_bare(word: &str) -> bool {
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !reserved.contains(&word.to_ascii_lowercase().as_str())
}
