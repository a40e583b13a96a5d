//! Reads a table from what a caller gives: CSV text, JSON, a list of numbers, with or without words before it.
//!
//! Errors name row and column, because the data is the caller's to fix.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::words;
use crate::limits;

/// A table by columns.
pub(super) struct Table {
    /// How it was written.
    pub(super) format: &'static str,
    /// Rows, without the header.
    pub(super) row_count: usize,
    /// The columns in their order.
    pub(super) columns: Vec<Cells>,
    /// Bytes of words before the table.
    pub(super) prose_bytes: usize,
}

/// One column.
pub(super) struct Cells {
    pub(super) name: String,
    /// One cell for each row; empty if missing.
    pub(super) cells: Vec<String>,
}

/// How cells say that there is no value.
const MISSING: &[&str] = &["", "na", "n/a", "null", "none", "nan", "-"];

impl Table {
    /// Reads the table, or says what is wrong with it and where.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::read_text(text),
            other => Self::read_json(other, 0),
        }
    }

    fn read_text(text: &str) -> Result<Self, String> {
        let trimmed = text.trim_start_matches('\u{feff}');
        if let Some(table) = json_inside(trimmed) {
            return table;
        }
        if let Some(block) = csv_block(trimmed) {
            return read_csv(block);
        }
        numbers_inside(trimmed).ok_or_else(|| {
            format!(
                "no table found in `data` ({} lines): give CSV with a header line and at least one row, a JSON array of objects or numbers, or at least two numbers",
                trimmed.lines().count()
            )
        })
    }

    fn read_json(value: &Value, prose_bytes: usize) -> Result<Self, String> {
        let table = match value {
            Value::Array(items) if items.is_empty() => return Err("the JSON array in `data` is empty; give at least one row".to_owned()),
            Value::Array(items) if items.iter().all(Value::is_object) => from_objects(items)?,
            Value::Array(items) if items.iter().all(|item| item.is_array()) => from_rows(items)?,
            Value::Array(items) => from_scalars(items)?,
            Value::Object(fields) if !fields.is_empty() && fields.values().all(Value::is_array) => from_arrays(fields)?,
            Value::Object(fields) => match ["data", "rows", "records", "items", "values"].iter().find_map(|name| fields.get(*name)) {
                Some(inner @ Value::Array(_)) => return Self::read_json(inner, prose_bytes),
                Some(Value::String(text)) => return Self::read_text(text),
                _ => from_objects(std::slice::from_ref(value))?,
            },
            other => return Err(format!("`data` is a single JSON {}; give an array of objects or numbers", kind(other))),
        };
        Ok(Self { prose_bytes, ..table })
    }

    fn new(format: &'static str, columns: Vec<Cells>) -> Result<Self, String> {
        if columns.len() > limits::SAMPLE_COLUMNS_MAX {
            return Err(format!("the table has {} columns; at most {} are read", columns.len(), limits::SAMPLE_COLUMNS_MAX));
        }
        let row_count = columns.first().map_or(0, |column| column.cells.len());
        Ok(Self { format, row_count, columns, prose_bytes: 0 })
    }
}

/// Whether the cell holds no value.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// The number a cell holds: `1`, `1.5e3`, `1,234.5`, `$12`, `12 %`.
pub(super) fn number(cell: &str) -> Option<f64> {
    let plain = cell.trim().trim_start_matches(['$', '€', '£']).trim_end_matches(['%', '€', ' ']);
    let ungrouped = if is_grouped(plain) { plain.replace(',', "") } else { plain.to_owned() };
    // `inf` and `nan` parse as floats, and are words.
    ungrouped.parse::<f64>().ok().filter(|number| number.is_finite() && plain.contains(|c: char| c.is_ascii_digit()))
}

/// `1,234` and `12,345,678.9`, not `1,2`.
fn is_grouped(text: &str) -> bool {
    let whole = text.split('.').next().unwrap_or(text).trim_start_matches('-');
    let mut groups = whole.split(',');
    let first = groups.next().is_some_and(|group| (1..=3).contains(&group.len()));
    let mut rest = groups.peekable();
    first && rest.peek().is_some() && rest.all(|group| group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The JSON array or object the text holds, if one starts at its first bracket.
fn json_inside(text: &str) -> Option<Result<Table, String>> {
    let start = text.find(['[', '{'])?;
    let whole = text[..start].trim().is_empty();
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    match stream.next()? {
        Ok(value) if whole || value.is_array() || value.is_object() => Some(Table::read_json(&value, start)),
        Ok(_) => None,
        Err(error) if whole && csv_block(text).is_none() => {
            Some(Err(format!("`data` starts like JSON but is not: {error}; quote strings and close every bracket")))
        }
        Err(_) => None,
    }
}

/// A run of lines with the same delimiter.
struct Block<'a> {
    text: &'a str,
    delimiter: u8,
    start: usize,
    first_line: usize,
}

/// The first run of two or more lines that share a delimiter and its count with their first line; quoted cells may hold more.
fn csv_block(text: &str) -> Option<Block<'_>> {
    let mut offset = 0;
    let lines: Vec<(usize, &str)> = text
        .split_inclusive('\n')
        .map(|line| {
            let start = offset;
            offset += line.len();
            (start, line)
        })
        .collect();
    let header = lines.iter().enumerate().find_map(|(index, &(start, line))| {
        let next = lines[index + 1..].iter().map(|&(_, line)| line).find(|line| !line.trim().is_empty())?;
        let delimiter =
            [b'\t', b';', b',', b'|'].into_iter().find(|&mark| fields(line, mark) > 1 && fields(line, mark) == fields(next, mark))?;
        // "Analyze this: a,b": the words before the header are not part of its first cell.
        let prose = line.find(": ").filter(|at| !line[..*at].contains(char::from(delimiter))).map_or(0, |at| at + 2);
        Some((index, start + prose, delimiter))
    });
    if let Some((index, start, delimiter)) = header {
        return Some(Block { text: &text[start..], delimiter, start, first_line: index + 1 });
    }
    one_column(text, &lines)
}

/// A header and at least two lines below it that are numbers: a table of one column.
fn one_column<'a>(text: &'a str, lines: &[(usize, &str)]) -> Option<Block<'a>> {
    let filled: Vec<usize> = (0..lines.len()).filter(|&index| !lines[index].1.trim().is_empty()).collect();
    let is_number = |index: usize| number(lines[index].1.trim()).is_some();
    let header = filled.windows(3).find(|window| !is_number(window[0]) && is_number(window[1]) && is_number(window[2]))?[0];
    let start = lines[header].0;
    Some(Block { text: &text[start..], delimiter: b'\t', start, first_line: header + 1 })
}

fn fields(line: &str, delimiter: u8) -> usize {
    let mut quoted = false;
    1 + line
        .bytes()
        .filter(|&byte| {
            quoted ^= byte == b'"';
            byte == delimiter && !quoted
        })
        .count()
}

fn read_csv(block: Block<'_>) -> Result<Table, String> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(block.delimiter).flexible(true).trim(csv::Trim::All).from_reader(block.text.as_bytes());
    let names = column_names(reader.headers().map_err(|error| format!("the CSV header cannot be read: {error}"))?);
    let mut columns: Vec<Cells> = names.into_iter().map(|name| Cells { name, cells: Vec::new() }).collect();
    let records: Vec<csv::StringRecord> = reader
        .records()
        .enumerate()
        .map(|(index, record)| record.map_err(|error| format!("row {}: {error}", index + 1)))
        .collect::<Result<_, _>>()?;
    // Words after the table end it; a short row inside it is a mistake of the data.
    let row_count = records.iter().rposition(|record| record.len() > 1).map_or(records.len(), |last| last + 1);
    for (index, record) in records.iter().take(row_count).enumerate() {
        if record.len() != columns.len() {
            let line = record.position().map_or(0, |position| usize::try_from(position.line()).unwrap_or(0)) + block.first_line - 1;
            return Err(format!(
                "row {} (line {line}) has {} cells, the header has {} columns; quote cells that hold the delimiter `{}`",
                index + 1,
                record.len(),
                columns.len(),
                char::from(block.delimiter).escape_default()
            ));
        }
        for (column, cell) in columns.iter_mut().zip(record) {
            column.cells.push(cell.to_owned());
        }
    }
    let table = Table::new("csv", columns)?;
    if table.row_count == 0 {
        return Err("the CSV has a header and no rows".to_owned());
    }
    Ok(Table { prose_bytes: block.start, ..table })
}

/// Names for the columns: empty ones are numbered, repeated ones told apart.
fn column_names(header: &csv::StringRecord) -> Vec<String> {
    let mut seen = BTreeMap::new();
    header
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let name = if name.is_empty() { format!("column_{}", index + 1) } else { words::shorten(name, 100) };
            let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
            if *count > 1 { format!("{name}_{count}") } else { name }
        })
        .collect()
}

fn from_objects(items: &[Value]) -> Result<Table, String> {
    let mut names: Vec<&str> = Vec::new();
    let mut places = BTreeMap::new();
    for name in items.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        places.entry(name.as_str()).or_insert_with(|| {
            names.push(name);
            names.len() - 1
        });
        if names.len() > limits::SAMPLE_COLUMNS_MAX {
            return Err(format!("the objects in `data` have more than {} different fields", limits::SAMPLE_COLUMNS_MAX));
        }
    }
    let column = |name: &&str| {
        let cells = items.iter().map(|item| item.get(*name).map_or_else(String::new, cell)).collect();
        Cells { name: words::shorten(name, 100), cells }
    };
    Table::new("json", names.iter().map(column).collect())
}

fn from_rows(items: &[Value]) -> Result<Table, String> {
    let rows: Vec<&Vec<Value>> = items.iter().filter_map(Value::as_array).collect();
    let width = rows[0].len();
    if let Some(index) = rows.iter().position(|row| row.len() != width) {
        return Err(format!("row {} has {} cells, row 1 has {width}; all rows need the same number", index + 1, rows[index].len()));
    }
    let has_header =
        rows.len() > 1 && rows[0].iter().all(Value::is_string) && rows[1..].iter().flat_map(|row| row.iter()).any(|item| !item.is_string());
    let columns = (0..width)
        .map(|index| Cells {
            name: if has_header { words::shorten(&cell(&rows[0][index]), 100) } else { format!("column_{}", index + 1) },
            cells: rows[usize::from(has_header)..].iter().map(|row| cell(&row[index])).collect(),
        })
        .collect();
    Table::new("json", columns)
}

fn from_scalars(items: &[Value]) -> Result<Table, String> {
    if let Some(index) = items.iter().position(|item| item.is_object() || item.is_array()) {
        return Err(format!(
            "item {} of the array in `data` is of type {}, others are not; give only objects or only numbers",
            index + 1,
            kind(&items[index])
        ));
    }
    Table::new("json", vec![Cells { name: "value".to_owned(), cells: items.iter().map(cell).collect() }])
}

fn from_arrays(fields: &Map<String, Value>) -> Result<Table, String> {
    let mut columns = Vec::new();
    for (name, items) in fields {
        let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
        columns.push(Cells { name: words::shorten(name, 100), cells: items.iter().map(cell).collect() });
    }
    let rows = columns[0].cells.len();
    match columns.iter().find(|column| column.cells.len() != rows) {
        Some(other) => Err(format!(
            "column `{}` has {} values, `{}` has {rows}; all need the same number",
            other.name,
            other.cells.len(),
            columns[0].name
        )),
        None => Table::new("json", columns),
    }
}

/// A list of numbers in words: "Analyze 3, 5, 8 and 13".
fn numbers_inside(text: &str) -> Option<Table> {
    let found: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')'))
        .map(|word| word.trim_end_matches(['.', ':', '?', '!']))
        .filter(|word| number(word).is_some())
        .collect();
    let cells: Vec<String> = found.iter().map(|word| (*word).to_owned()).collect();
    let prose_bytes = text.len();
    (cells.len() >= 2).then(|| Table {
        format: "numbers",
        row_count: cells.len(),
        columns: vec![Cells { name: "value".to_owned(), cells }],
        prose_bytes,
    })
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
