//! The rules of the review, by language. Each names a construct that often is a mistake.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tree_sitter::{Node, Tree};

use super::language::Source;
use super::syntax::walk;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Must be changed.
    Error,
    /// Should be changed.
    Warning,
    /// May be better.
    Hint,
}

/// One finding.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Issue {
    /// How much it matters.
    pub(super) severity: Severity,
    /// The rule's name.
    pub(super) rule: &'static str,
    /// What is wrong and what to do.
    pub(super) message: String,
    /// Line, from 1.
    pub(super) line: usize,
    /// Column in bytes, from 1.
    pub(super) column: usize,
}

impl Issue {
    /// A finding at the start of a node.
    pub(super) fn at(node: Node<'_>, severity: Severity, rule: &'static str, message: impl Into<String>) -> Self {
        let start = node.start_position();
        Self { severity, rule, message: message.into(), line: start.row + 1, column: start.column + 1 }
    }
}

/// Applies the rules that fit the language.
pub(super) fn run(tree: &Tree, source: &Source) -> Vec<Issue> {
    let code = source.code.as_str();
    let rule: fn(Node<'_>, &str) -> Option<Issue> = match source.language.id {
        "python" => python,
        "rust" => rust,
        "javascript" => javascript,
        _ => bash,
    };
    let mut issues = Vec::new();
    walk(tree, |_| false, |node, _| issues.extend(marker(node, code).or_else(|| rule(node, code))));
    match source.language.id {
        "python" => issues.extend(unused_imports(tree, code)),
        "bash" if !code.contains("set -e") && !code.contains("set -o errexit") && code.lines().count() > 3 => {
            issues.push(Issue::at(tree.root_node(), Severity::Hint, "no-errexit", "errors are ignored; start with `set -euo pipefail`"));
        }
        _ => {}
    }
    issues
}

fn text<'a>(node: Node<'_>, code: &'a str) -> &'a str {
    code.get(node.byte_range()).unwrap_or_default()
}

fn field<'a>(node: Node<'_>, name: &str, code: &'a str) -> &'a str {
    node.child_by_field_name(name).map_or("", |child| text(child, code))
}

fn marker(node: Node<'_>, code: &str) -> Option<Issue> {
    let comment = node.kind().contains("comment").then(|| text(node, code))?;
    let found =
        ["TODO", "FIXME", "XXX"].into_iter().find(|marker| comment.split(|c: char| !c.is_alphanumeric()).any(|word| word == *marker))?;
    Some(Issue::at(node, Severity::Hint, "open-marker", format!("a {found} is left; do it or describe it as an issue")))
}

fn python(node: Node<'_>, code: &str) -> Option<Issue> {
    match node.kind() {
        "function_definition" | "class_definition" if !has_docstring(node) && !node.has_error() => {
            let name = field(node, "name", code);
            let public = !name.starts_with('_') && !in_function(node);
            public.then(|| Issue::at(node, Severity::Hint, "missing-docstring", format!("`{name}` has no docstring")))
        }
        "except_clause" if node.named_child(0).is_none_or(|first| first.kind() == "block") => {
            Some(Issue::at(node, Severity::Warning, "bare-except", "catches everything, also interrupts; name the exceptions"))
        }
        "call" => match field(node, "function", code) {
            name @ ("eval" | "exec") => {
                Some(Issue::at(node, Severity::Error, "dynamic-code", format!("`{name}` runs text as code; parse the input instead")))
            }
            "os.system" => Some(Issue::at(node, Severity::Warning, "shell-command", "runs a shell; use subprocess.run with a list")),
            _ => None,
        },
        "default_parameter" | "typed_default_parameter" => {
            let value = node.child_by_field_name("value")?;
            matches!(value.kind(), "list" | "dictionary" | "set").then(|| {
                Issue::at(node, Severity::Warning, "mutable-default", "the default is shared by all calls; use None and create it inside")
            })
        }
        "comparison_operator" => {
            let compared = text(node, code);
            (compared.contains("== None") || compared.contains("!= None"))
                .then(|| Issue::at(node, Severity::Hint, "none-comparison", "compare with `is None`"))
        }
        "raise_statement" if text(node, code).contains("NotImplementedError") => {
            Some(Issue::at(node, Severity::Warning, "not-implemented", "this part is not written yet"))
        }
        _ => None,
    }
}

fn has_docstring(node: Node<'_>) -> bool {
    let first = node.child_by_field_name("body").and_then(|body| body.named_child(0));
    first.is_some_and(|first| first.kind() == "expression_statement" && first.named_child(0).is_some_and(|inner| inner.kind() == "string"))
}

fn in_function(node: Node<'_>) -> bool {
    // Looks up a few levels only: `parent` starts at the root each time.
    let parent = node.parent().and_then(|block| block.parent());
    parent.is_some_and(|parent| parent.kind() == "function_definition")
}

fn unused_imports(tree: &Tree, code: &str) -> Vec<Issue> {
    let mut imports: Vec<(Node<'_>, String)> = Vec::new();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    walk(
        tree,
        |_| false,
        |node, _| match node.kind() {
            "import_statement" | "import_from_statement" => imports.extend(imported(node, code)),
            "identifier" => *names.entry(text(node, code)).or_default() += 1,
            _ => {}
        },
    );
    // The import itself is one occurrence.
    let is_unused = |name: &str| names.get(name).copied().unwrap_or(0) <= 1 && !code.contains("__all__");
    imports
        .into_iter()
        .filter(|(_, name)| is_unused(name))
        .map(|(node, name)| Issue::at(node, Severity::Warning, "unused-import", format!("`{name}` is imported and not used")))
        .collect()
}

/// The names an import binds; none for `import *` and for imports from `__future__`.
fn imported<'tree>(node: Node<'tree>, code: &str) -> Vec<(Node<'tree>, String)> {
    let mut cursor = node.walk();
    node.children_by_field_name("name", &mut cursor)
        .map(|name| match name.child_by_field_name("alias") {
            Some(alias) => (node, text(alias, code).to_owned()),
            None => (node, text(name, code).split('.').next().unwrap_or_default().to_owned()),
        })
        .collect()
}

fn rust(node: Node<'_>, code: &str) -> Option<Issue> {
    match node.kind() {
        "call_expression" => {
            let callee = node.child_by_field_name("function").filter(|callee| callee.kind() == "field_expression")?;
            let unwraps = field(callee, "field", code) == "unwrap" && !in_tests(node, code);
            unwraps.then(|| {
                Issue::at(node, Severity::Warning, "unwrap", "panics on failure; handle the error or use `expect` with the reason")
            })
        }
        "unsafe_block" => Some(Issue::at(node, Severity::Warning, "unsafe", "say in a `// SAFETY:` comment why this is sound")),
        "macro_invocation" => match field(node, "macro", code) {
            name @ ("todo" | "unimplemented") => {
                Some(Issue::at(node, Severity::Warning, "not-implemented", format!("`{name}!` panics; this part is not written yet")))
            }
            _ => None,
        },
        "function_item" if node.named_child(0).is_some_and(|first| first.kind() == "visibility_modifier") => {
            let documented =
                node.prev_sibling().is_some_and(|before| matches!(before.kind(), "line_comment" | "block_comment" | "attribute_item"));
            let name = field(node, "name", code);
            (!documented).then(|| Issue::at(node, Severity::Hint, "missing-doc", format!("public `{name}` has no documentation")))
        }
        _ => None,
    }
}

/// Whether the node stands after a test attribute; tests may panic.
fn in_tests(node: Node<'_>, code: &str) -> bool {
    let before = code.get(..node.start_byte()).unwrap_or_default();
    before.contains("#[cfg(test)]") || before.contains("#[test]")
}

fn javascript(node: Node<'_>, code: &str) -> Option<Issue> {
    match node.kind() {
        "binary_expression" => match field(node, "operator", code) {
            operator @ ("==" | "!=") if !field(node, "right", code).eq("null") => {
                Some(Issue::at(node, Severity::Warning, "loose-equality", format!("`{operator}` converts types; use `{operator}=`")))
            }
            _ => None,
        },
        "variable_declaration" => {
            Some(Issue::at(node, Severity::Hint, "var", "`var` is visible in the whole function; use `const` or `let`"))
        }
        "call_expression" if field(node, "function", code) == "eval" => {
            Some(Issue::at(node, Severity::Error, "dynamic-code", "`eval` runs text as code; parse the input instead"))
        }
        "throw_statement" if text(node, code).contains("is not written yet") => {
            Some(Issue::at(node, Severity::Warning, "not-implemented", "this part is not written yet"))
        }
        "empty_statement" => None,
        "catch_clause" if node.child_by_field_name("body").is_some_and(|body| body.named_child_count() == 0) => {
            Some(Issue::at(node, Severity::Warning, "empty-catch", "the error is swallowed; handle it or say why not"))
        }
        _ => None,
    }
}

fn bash(node: Node<'_>, code: &str) -> Option<Issue> {
    match node.kind() {
        "command" => match field(node, "name", code) {
            "eval" => Some(Issue::at(node, Severity::Error, "dynamic-code", "`eval` runs text as code; use an array for arguments")),
            "rm" if text(node, code).contains("$") && !text(node, code).contains('"') => {
                Some(Issue::at(node, Severity::Warning, "unquoted-rm", "quote the variable; blanks in it would delete something else"))
            }
            _ => None,
        },
        "command_substitution" if text(node, code).starts_with('`') => {
            Some(Issue::at(node, Severity::Hint, "backticks", "use `$(…)`; it nests and reads better"))
        }
        _ => None,
    }
}
