//! Values that are written in more than one way, and schemas that say so.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::workflow::check::RESERVED_NAMES;

macro_rules! written {
    ($(#[$doc:meta])* $name:ident = $($schema:tt)*) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)*)
            }
        }
    };
}

written!(Duration = {
    "description": "Seconds (300, 0.5), or numbers with units (250ms, 30s, 5m, 1h30m, 2d).",
    "anyOf": [
        { "type": "number", "minimum": 0, "maximum": 31_622_400 },
        { "type": "string", "pattern": r"^\s*(\d+(\.\d*)?|(\d+(\.\d*)?(ms|s|m|h|d)\s*)+)\s*$" }
    ]
});
written!(Size = {
    "description": "Bytes (1048576), or a size with a unit (512KiB, 1MiB, 2MB).",
    "anyOf": [
        { "type": "integer", "minimum": 1 },
        { "type": "string", "pattern": r"^\s*\d+\s*([kKmMgG]([iI]?[bB])?|[bB])?\s*$" }
    ]
});
written!(Condition = {
    "description": "An expression, bare or as {{ … }}.",
    "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "boolean" }, { "type": "number" }]
});
written!(Inputs = {
    "description": "What the skill is called with: any value with {{ templates }} in it, or one template that yields a map.",
    "anyOf": [{ "type": "object" }, { "type": "null" }, { "type": "string", "pattern": r"\{\{" }]
});
written!(Items = {
    "description": "A list, or an expression that yields one.",
    "anyOf": [{ "type": "array" }, { "type": "string", "pattern": r"\{\{" }]
});
written!(Binding = {
    "type": "string",
    "maxLength": 200,
    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
    "not": { "enum": RESERVED_NAMES }
});
written!(Tolerance = {
    "description": "How many items may fail (3), or how many of a hundred (10%). Default: 0.",
    "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": u32::MAX },
        { "type": "string", "pattern": r"^\s*(100(\.0*)?|\d?\d(\.\d*)?)\s*%\s*$" }
    ]
});
written!(FailError = {
    "description": "Why: code and message, or one expression that yields both, such as the error of another step.",
    "anyOf": [
        {
            "type": "object",
            "properties": { "code": { "type": "string", "pattern": r"\S" }, "message": { "type": "string", "pattern": r"\S" } },
            "patternProperties": { "^x-": true },
            "additionalProperties": false,
            "required": ["code", "message"]
        },
        { "type": "string", "pattern": r"\{\{" }
    ]
});
written!(Anything = { "description": "Any value with {{ templates }} in it." });
written!(Texts = {
    "anyOf": [{ "type": "array", "items": { "type": "string" } }, { "type": "null" }]
});
