//! YAML text to [`Node`]s, with positions and bounds. The only folder that knows the YAML crate.
//!
//! It reads the parser's events instead of deserializing: nothing here recurses, so that depth costs no stack; a mistake in one
//! place does not end the reading; and every key is seen, duplicates included.

mod refusal;
mod scalar;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_yaml::granit_parser::{Event, Marker, Options, Parser, ScanError, Span, Tag};

use super::codes;
use super::node::{Entry, Kind, Node};
use super::report::Report;
use crate::limits;

/// Reads one document. Reports what is wrong; `None` when there is no tree at all.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Option<Node> {
    if text.len() > limits::WORKFLOW_BYTES_MAX {
        let message = format!("the workflow has {} bytes, more than the {} allowed", text.len(), limits::WORKFLOW_BYTES_MAX);
        report.add(&codes::TOO_LARGE, 0..0, message, "move long texts out of it, or split it into several workflows");
        return None;
    }
    let mut reader =
        Reader { report, open: Vec::new(), anchors: BTreeMap::new(), size: Size::default(), aliases: 0, root: None, is_over: false };
    for event in Parser::new_from_str_with_options(text, options()) {
        let outcome = match event {
            Ok((event, span)) => reader.event(event, &span),
            Err(error) => {
                reader.refuse(&error);
                Err(Stop)
            }
        };
        if outcome.is_err() {
            return None;
        }
        if reader.is_over {
            break;
        }
    }
    Some(reader.root.unwrap_or(Node { kind: Kind::Null, span: 0..0 }))
}

fn options() -> Options {
    serde_yaml::granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: limits::VALUE_DEPTH_MAX,
        block_nesting_limit: limits::VALUE_DEPTH_MAX,
    }
}

/// Reading cannot go on; why has been reported.
struct Stop;

/// What a value costs, everything below it included. Aliases cost what they repeat.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    values: usize,
    bytes: usize,
    depth: usize,
}

/// An anchored value, complete.
struct Anchored {
    node: Node,
    size: Size,
}

/// A list or map whose end has not come.
struct Open {
    anchor: usize,
    span: Range<usize>,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// From merge keys: they yield to the map's own keys, wherever those stand.
    merged: Vec<Entry>,
    /// Where each key was first given.
    seen: BTreeMap<String, usize>,
    key: Option<Node>,
}

struct Reader<'r, 'a> {
    report: &'r mut Report<'a>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    /// Of everything read so far.
    size: Size,
    aliases: usize,
    root: Option<Node>,
    /// A second document has begun: it is reported and not read.
    is_over: bool,
}

impl Reader<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let at = self.range(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.charge(&at, Size { values: 1, bytes: text.len(), depth: 0 })?;
                let kind = self.scalar(text, style, tag.as_deref(), &at);
                self.complete(Node { kind, span: at }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.start(OpenKind::List(Vec::new()), anchor, tag.as_deref(), at),
            Event::MappingStart(_, anchor, tag) => self.start(OpenKind::Map(OpenMap::default()), anchor, tag.as_deref(), at),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::DocumentStart(..) if self.root.is_some() => {
                let hint = "keep one workflow in a file: remove what follows `---`";
                self.report.add(&codes::MULTIPLE_DOCUMENTS, at, "the file holds more than one YAML document".to_owned(), hint);
                self.is_over = true;
                Ok(())
            }
            // The stream's frame, and events that the options above do not ask for.
            _ => Ok(()),
        }
    }

    fn start(&mut self, kind: OpenKind, anchor: usize, tag: Option<&Tag>, span: Range<usize>) -> Result<(), Stop> {
        self.charge(&span, Size { values: 1, bytes: 0, depth: 0 })?;
        let wanted = match kind {
            OpenKind::List(_) => "seq",
            OpenKind::Map(_) => "map",
        };
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag(wanted)) {
            self.unknown_tag(tag, &span);
        }
        self.open.push(Open { anchor, span: span.clone(), kind });
        self.check_depth(&span, self.open.len())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.kind {
            OpenKind::List(items) => Kind::List(items),
            OpenKind::Map(map) => Kind::Map(map.finish()),
        };
        self.complete(Node { kind, span: open.span }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Range<usize>) -> Result<(), Stop> {
        self.aliases += 1;
        if self.aliases > limits::WORKFLOW_ALIASES_MAX {
            let message = format!("there are more than {} aliases", limits::WORKFLOW_ALIASES_MAX);
            return self.too_complex(&span, message);
        }
        let Some(anchored) = self.anchors.get(&anchor) else {
            // The parser knows the anchor, so its value has begun; it has not ended.
            let hint = "an anchor can only be used after its value has ended";
            self.report.add(&codes::INVALID_YAML, span, "the anchor contains itself".to_owned(), hint);
            return Err(Stop);
        };
        let size = anchored.size;
        self.check_depth(&span, self.open.len() + size.depth)?;
        self.charge(&span, size)?;
        // Its place stays where it is written: there is the text that a diagnostic is about.
        let node = self.anchors.get(&anchor).map(|anchored| anchored.node.clone());
        match node {
            Some(node) => self.complete(node, 0),
            None => Ok(()),
        }
    }

    /// Puts a complete value where it belongs. An anchor of 0 is none.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            let size = size_of(&node);
            self.charge(&node.span, size)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => {
                self.root.get_or_insert(node);
            }
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map(map)) => match map.key.take() {
                None => map.key = Some(node),
                Some(key) => map.add(key, node, self.report),
            },
        }
        Ok(())
    }

    fn charge(&mut self, span: &Range<usize>, size: Size) -> Result<(), Stop> {
        self.size.values += size.values;
        self.size.bytes += size.bytes;
        if self.size.values > limits::WORKFLOW_NODES_MAX {
            let message = format!("there are more than {} values, those that aliases repeat included", limits::WORKFLOW_NODES_MAX);
            return self.too_complex(span, message);
        }
        if self.size.bytes > limits::WORKFLOW_TEXT_BYTES_MAX {
            let message = format!("the texts have more than {} bytes, those that aliases repeat included", limits::WORKFLOW_TEXT_BYTES_MAX);
            return self.too_complex(span, message);
        }
        Ok(())
    }

    fn check_depth(&mut self, span: &Range<usize>, depth: usize) -> Result<(), Stop> {
        match depth > limits::VALUE_DEPTH_MAX {
            true => self.too_complex(span, refusal::too_deep()),
            false => Ok(()),
        }
    }

    fn too_complex(&mut self, span: &Range<usize>, message: String) -> Result<(), Stop> {
        self.report.add(&codes::TOO_COMPLEX, span.clone(), message, refusal::SIMPLER);
        Err(Stop)
    }

    fn unknown_tag(&mut self, tag: &Tag, span: &Range<usize>) {
        let message = format!("the tag `{}` does not belong here", tag.original());
        self.report.add(&codes::INVALID_YAML, span.clone(), message, "remove it: workflows have no types of their own");
    }

    fn refuse(&mut self, error: &ScanError) {
        let at = self.offset(error.marker());
        refusal::refuse(error, at, self.report);
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.offset(&span.start);
        start..self.offset(&span.end).max(start)
    }

    fn offset(&self, marker: &Marker) -> usize {
        marker.byte_offset().unwrap_or_else(|| self.report.source().offset(marker.line(), marker.col() + 1))
    }
}

impl OpenMap {
    fn add(&mut self, key: Node, value: Node, report: &mut Report<'_>) {
        // Only a plain `<<` merges; in quotes it is a key like others.
        if key.kind == Kind::Text("<<".to_owned()) && report.source().slice(&key.span) == "<<" {
            self.merge(value, report);
            return;
        }
        let name = match key.kind {
            Kind::Text(text) => text,
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => key.to_json().to_string(),
            Kind::List(_) | Kind::Map(_) => {
                let message = format!("a key cannot be {}", key.describe());
                let hint = "keys are texts; a template that starts with `{` needs quotes around it";
                report.add(&codes::INVALID_KEY, key.span, message, hint);
                return;
            }
        };
        if let Some(first) = self.seen.get(&name) {
            let line = report.source().line(*first);
            let message = format!("the key `{name}` is given twice");
            report.add(&codes::DUPLICATE_KEY, key.span, message, format!("it is first given on line {line}; keep one of them"));
            return;
        }
        self.seen.insert(name.clone(), key.span.start);
        self.entries.push(Entry { key: name, key_span: key.span, value });
    }

    fn merge(&mut self, value: Node, report: &mut Report<'_>) {
        match value.kind {
            Kind::Map(entries) => self.merged.extend(entries),
            Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                for item in items {
                    self.merge(item, report);
                }
            }
            _ => {
                let message = format!("`<<` wants a map to merge, found {}", value.describe());
                report.add(&codes::INVALID_MERGE, value.span, message, "name an anchor of a map: `<<: *defaults`");
            }
        }
    }

    /// The map's own keys win, then the earlier of the merged maps (yaml.org/type/merge.html).
    fn finish(mut self) -> Vec<Entry> {
        for entry in self.merged {
            if !self.seen.contains_key(&entry.key) {
                self.seen.insert(entry.key.clone(), entry.key_span.start);
                self.entries.push(entry);
            }
        }
        self.entries
    }
}

/// Recurses as deep as a tree may be, which was checked when it was built.
fn size_of(node: &Node) -> Size {
    let mut size = Size { values: 1, bytes: 0, depth: 0 };
    let mut below = |child: &Node, key: usize| {
        let child = size_of(child);
        size.values += child.values;
        size.bytes += child.bytes + key;
        size.depth = size.depth.max(child.depth + 1);
    };
    match &node.kind {
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        Kind::Text(text) => size.bytes = text.len(),
        Kind::List(items) => items.iter().for_each(|item| below(item, 0)),
        Kind::Map(entries) => entries.iter().for_each(|entry| below(&entry.value, entry.key.len())),
    }
    if matches!(node.kind, Kind::List(_) | Kind::Map(_)) {
        size.depth = size.depth.max(1);
    }
    size
}
