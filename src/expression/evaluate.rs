//! One expression: compiled when a workflow is parsed, evaluated as often as a run needs it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::ErrorKind;
use minijinja::value::Object;
use serde_json::Value;

use super::convert::{Refusal, to_json};
use super::error::shorten;
use super::filters::{ENVIRONMENT, FILTERS};
use super::node::{Misses, Node, StepNode, StepsNode};
use super::path::{Found, Path, step_value, steps};
use super::syntax::{Reference, Subtraction, Syntax, Use, syntax};
use super::text::{Limited, write_text};
use super::{Error, Scope, SharedValue, SyntaxError};
use crate::limits::{EXPRESSION_FUEL, EXPRESSION_OUTPUT_BYTES_MAX, TEMPLATE_BYTES_MAX};

/// An expression that is ready to be evaluated.
pub(super) struct Expression {
    source: Box<str>,
    uses: Vec<Use>,
    subtractions: Vec<Subtraction>,
    /// `None` if the expression is a lone path, which needs no engine.
    compiled: Option<minijinja::Expression<'static, 'static>>,
}

impl Expression {
    /// Compiles `source`. Spans of errors are in bytes of it.
    pub(super) fn parse(source: &str) -> Result<Self, SyntaxError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(SyntaxError::new(
                format!("an expression may have {TEMPLATE_BYTES_MAX} bytes, this one has {}", source.len()),
                0..source.len(),
            )
            .hint("compute parts of it in steps of their own"));
        }
        // The checks of our own come first: they bound what the engine's parser, which recurses, gets to see.
        let syntax = syntax(source)?;
        let compiled = match syntax.is_path {
            true => None,
            // Never the text as written: the engine computes what is constant in it while it compiles, without a bound on `[1] * 99999999`.
            false => {
                Some(ENVIRONMENT.compile_expression_owned(syntax.rewritten.clone()).map_err(|error| engine_syntax_error(&syntax, &error))?)
            }
        };
        let Syntax { uses, subtractions, .. } = syntax;
        Ok(Self { source: Box::from(source), uses, subtractions, compiled })
    }

    /// Every static path it reads; `place` turns spans of this expression into spans of what it stands in.
    pub(super) fn references(&self, place: impl Fn(&Range<usize>) -> Range<usize>) -> impl Iterator<Item = Reference> {
        self.uses.iter().map(move |used| used.reference(&place))
    }

    /// Every subtraction that looks like a name, placed like the references.
    pub(super) fn subtractions(&self, place: impl Fn(&Range<usize>) -> Range<usize>) -> impl Iterator<Item = Subtraction> {
        self.subtractions.iter().map(move |found| Subtraction { span: place(&found.span), ..found.clone() })
    }

    /// The value in `scope`, shared when it is the whole of a shared value.
    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        match &self.compiled {
            Some(compiled) => self.run(compiled, scope),
            None => Ok(match self.find(scope)? {
                Found::Steps => Arc::new(steps(scope).into_iter().rev().map(|(id, view)| (id.to_owned(), step_value(view))).collect()),
                Found::Step(view) => Arc::new(step_value(view)),
                Found::Made(value) => Arc::new(value),
                Found::Below { root, keys: [], .. } => root.clone(),
                Found::Below { value, .. } => Arc::new(value.clone()),
            }),
        }
    }

    /// The value in `scope`. A part of a shared value is not copied.
    pub(super) fn evaluate_shared(&self, scope: &Scope<'_>) -> Result<SharedValue, Error> {
        let part = match &self.compiled {
            Some(_) => None,
            None => self.find(scope)?.shared(),
        };
        part.map_or_else(|| self.evaluate(scope).map(SharedValue::from), Ok)
    }

    /// Writes the text of the value; the value of a path is not copied for that.
    pub(super) fn write(&self, text: &mut Limited, scope: &Scope<'_>) -> Result<(), Error> {
        let written = match (&self.compiled, &self.uses[..]) {
            (None, [_]) => match self.find(scope)? {
                Found::Below { value, .. } => write_text(text, value),
                _ => write_text(text, &*self.evaluate(scope)?),
            },
            _ => write_text(text, &*self.evaluate(scope)?),
        };
        written.map_err(|_| self.error(format!("the text has more than {EXPRESSION_OUTPUT_BYTES_MAX} bytes")))
    }

    /// What the lone path leads to.
    fn find<'s>(&self, scope: &Scope<'s>) -> Result<Found<'s, '_>, Error> {
        let path = &self.uses.first().expect("a lone path is one use").path;
        path.find(scope).ok_or_else(|| self.missing(0, scope))
    }

    fn run(&self, compiled: &minijinja::Expression<'static, 'static>, scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        let names = Arc::new(Names::bind(&self.uses, scope));
        let failed = |kind: Failure| self.failure(kind, &names, scope);
        let value = compiled.eval(minijinja::Value::from_dyn_object(names.clone())).map_err(|error| failed(Failure::Engine(error)))?;
        to_json(&value).map_err(|refusal| failed(Failure::Refused(refusal)))
    }

    fn failure(&self, failure: Failure, names: &Names, scope: &Scope<'_>) -> Error {
        if let Failure::Engine(error) = &failure
            && error.kind() == ErrorKind::OutOfFuel
        {
            return self
                .error(format!("takes more than {EXPRESSION_FUEL} steps of work"))
                .hint("let an agent do heavy work, or split it over several steps");
        }
        // A missing path makes all kinds of operations fail; it is what the author needs to hear of.
        if let Some(index) = names.missed().into_iter().find(|index| !self.uses[*index].guarded) {
            return self.missing(index, scope);
        }
        let undefined = match &failure {
            Failure::Engine(error) => error.kind() == ErrorKind::UndefinedError,
            Failure::Refused(refusal) => *refusal == Refusal::Undefined,
        };
        if undefined {
            return match names.misses.last() {
                Some(path) => self.error(format!("`{}` does not exist", shorten(&path))),
                None => self.error("a value in it does not exist"),
            }
            .hint("allow for it with `| default(…)`");
        }
        self.error(match failure {
            Failure::Refused(refusal) => refusal.message(),
            Failure::Engine(error) => match (error.kind(), error.detail()) {
                (ErrorKind::UnknownFilter, detail) => format!("{}; there are: {}", detail.unwrap_or("unknown filter"), FILTERS.join(", ")),
                (kind, None) => kind.to_string(),
                (_, Some(detail)) => shorten(detail),
            },
        })
    }

    fn missing(&self, index: usize, scope: &Scope<'_>) -> Error {
        let used = &self.uses[index];
        let (message, hint) = used.path.explain(scope);
        let error = self.error(message);
        let subtraction = self.subtractions.iter().find(|found| found.span.start <= used.span.start && used.span.end <= found.span.end);
        match (subtraction, hint) {
            (Some(found), _) => error.hint(minus_hint(found)),
            (None, Some(hint)) => error.hint(hint),
            (None, None) => error,
        }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        let error = Error::new(message, &self.source);
        match self.subtractions.first() {
            Some(found) => error.hint(minus_hint(found)),
            None => error,
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

enum Failure {
    Engine(minijinja::Error),
    Refused(Refusal),
}

/// The variables of a rewritten expression: `r0` is what the first path leads to.
#[derive(Debug)]
struct Names {
    bindings: Vec<Option<Binding>>,
    misses: Misses,
    /// Variables that were read and have no value.
    missed: Mutex<Vec<usize>>,
}

/// What a path leads to, held for as long as the engine may want it. Becomes an engine value when it is read.
#[derive(Debug)]
enum Binding {
    Value(minijinja::Value),
    Below { root: Arc<Value>, above: usize, path: Path },
}

impl Names {
    fn bind(uses: &[Use], scope: &Scope<'_>) -> Self {
        let misses = Misses::default();
        let binding = |used: &Use| {
            Some(match used.path.find(scope)? {
                Found::Steps => Binding::Value(StepsNode::view(steps(scope), &misses)),
                Found::Step(view) => Binding::Value(StepNode::view(&used.path.keys.first()?.to_string(), view, &misses)),
                Found::Made(value) => Binding::Below { root: Arc::new(value), above: used.path.keys.len(), path: used.path.clone() },
                Found::Below { root, above, .. } => Binding::Below { root: root.clone(), above, path: used.path.clone() },
            })
        };
        Self { bindings: uses.iter().map(binding).collect(), misses, missed: Mutex::default() }
    }

    fn missed(&self) -> Vec<usize> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<minijinja::Value> {
        let index: usize = name.strip_prefix('r')?.parse().ok()?;
        match self.bindings.get(index)? {
            Some(Binding::Value(value)) => Some(value.clone()),
            Some(Binding::Below { root, above, path }) => {
                let (before, keys) = path.keys.split_at(*above);
                let name = Path { root: path.root.clone(), keys: before.to_vec() }.to_string();
                Some(Node::view(root, keys, &Arc::from(name), &self.misses))
            }
            None => {
                self.missed.lock().unwrap_or_else(PoisonError::into_inner).push(index);
                None
            }
        }
    }
}

/// The engine tells what is wrong, not where: the place is the first token with which it says so.
fn engine_syntax_error(syntax: &Syntax, error: &minijinja::Error) -> SyntaxError {
    let detail = error.detail().unwrap_or("syntax error");
    let complains =
        |end: &&usize| ENVIRONMENT.compile_expression(&syntax.rewritten[..**end]).is_err_and(|error| error.detail() == Some(detail));
    let token = match detail.contains("unexpected end of input") {
        true => syntax.tokens.last(),
        false => syntax.ends.iter().find(complains).and_then(|end| syntax.tokens.get(syntax.ends.partition_point(|other| other < end))),
    };
    let span = token.map_or(0..0, |token| token.span.clone());
    let error = SyntaxError::new(format!("the expression cannot be understood: {detail}"), span);
    match syntax.subtractions.first() {
        Some(found) => error.hint(minus_hint(found)),
        None => error,
    }
}

fn minus_hint(found: &Subtraction) -> String {
    format!("`-` subtracts; if `{}` is one name, write `{}`", found.name, found.instead)
}
