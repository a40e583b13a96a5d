//! JSON Schemas of skills: made from Rust types, checked against values, problems told in plain words.
//!
//! Used by `skill`. A problem never repeats the offending value, because inputs may be large or private.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::limits;

/// A schema and its compiled form.
pub(super) struct Schema {
    value: Value,
    validator: Validator,
}

impl Schema {
    /// The schema of what `T` reads.
    pub(super) fn of_input<T: JsonSchema>() -> Self {
        Self::compile(SchemaSettings::draft2020_12().for_deserialize(), |generator| generator.into_root_schema_for::<T>())
    }

    /// The schema of what `T` writes.
    pub(super) fn of_output<T: JsonSchema>() -> Self {
        Self::compile(SchemaSettings::draft2020_12().for_serialize(), |generator| generator.into_root_schema_for::<T>())
    }

    fn compile(settings: SchemaSettings, root: impl FnOnce(schemars::SchemaGenerator) -> schemars::Schema) -> Self {
        let settings = settings.with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut value = root(settings.into_generator()).to_value();
        if let Some(fields) = value.as_object_mut() {
            // The Rust type's name says nothing to a caller.
            fields.shift_remove("title");
        }
        let validator = jsonschema::validator_for(&value).expect("schemas derived from types are valid");
        Self { value, validator }
    }

    /// The schema as JSON.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Everything that is wrong with the value, each problem naming its field; empty if nothing is.
    pub(super) fn problems(&self, value: &Value) -> Vec<String> {
        let mut errors = self.validator.iter_errors(value);
        let mut problems: Vec<String> = errors.by_ref().take(limits::SAMPLE_PROBLEMS_MAX).map(|error| describe(&error)).collect();
        let more = errors.take(limits::SAMPLE_PROBLEMS_MAX * 50).count();
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        problems
    }
}

fn describe(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
    let place = if path.is_empty() { "the input".to_owned() } else { format!("`{path}`") };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            if path.is_empty() { format!("`{name}` is missing") } else { format!("`{path}.{name}` is missing") }
        }
        ValidationErrorKind::AnyOf { context } => {
            let names: Vec<String> = context.iter().flatten().filter_map(required_name).collect();
            if names.is_empty() || names.len() < context.len() {
                format!("{place} has none of the allowed forms")
            } else {
                format!("one of {} is needed", names.join(", "))
            }
        }
        _ => format!("{place}: {}", error.masked_with("the value")),
    }
}

fn required_name(error: &ValidationError<'_>) -> Option<String> {
    match error.kind() {
        ValidationErrorKind::Required { property } => Some(format!("`{}`", property.as_str()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn so_many_problems_are_listed_and_the_rest_is_counted() {
        let schema = Schema::of_input::<Vec<String>>();
        for (wrong, listed, last) in [
            (limits::SAMPLE_PROBLEMS_MAX, limits::SAMPLE_PROBLEMS_MAX, None),
            (limits::SAMPLE_PROBLEMS_MAX + 5, limits::SAMPLE_PROBLEMS_MAX + 1, Some("and 5 more")),
            // Nor is all of a huge list looked at.
            (100_000, limits::SAMPLE_PROBLEMS_MAX + 1, Some("and 1000 more")),
        ] {
            let problems = schema.problems(&json!(vec![1; wrong]));
            assert_eq!(problems.len(), listed, "{wrong}");
            assert!(last.is_none_or(|last| problems.last().is_some_and(|problem| problem == last)), "{wrong}: {:?}", problems.last());
        }
    }
}
