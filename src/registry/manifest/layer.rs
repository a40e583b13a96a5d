//! Which layer of a manifest is the workflow or the card.
//!
//! What gantry pushed says so by its type. What stock oras and others pushed is accepted where its place and the form of
//! its single layer leave no doubt. Everything else is an error that says what is wrong and how to push it right.

use super::super::{Error, Kind, Manifest, media};
use super::{Descriptor, Document};

/// The one layer that fits, and what the manifest says beside it.
pub(in super::super) fn fitting_layer(
    what: &str,
    repository: &str,
    manifest: &Manifest,
    kind: Kind,
) -> Result<(Document, Descriptor), Error> {
    let mut document = Document::read(what, &manifest.bytes)?;
    let stored_type = media::essence(&manifest.media_type);
    if document.is_index() || stored_type == media::INDEX || stored_type == media::DOCKER_INDEX {
        return Err(Error::invalid(what, format!("it is an image index, not {}; push one manifest with a single layer", one(kind))));
    }
    let declared = declared(&document);
    match &declared {
        Declared::Kind(declared) if *declared != kind => {
            return Err(Error::invalid(what, format!("it is {}, not {}", one(*declared), one(kind))));
        }
        Declared::Other(other) => {
            return Err(Error::invalid(what, format!("it has the type {}, so it is not {}", shown(other), one(kind))));
        }
        Declared::Unknown if !repository.split('/').any(|part| part == kind.folder()) => {
            let advice = format!("push it with `--artifact-type {}` or under {}/", kind.artifact_type(), kind.folder());
            return Err(Error::invalid(what, format!("its manifest does not say that it is {}; {advice}", one(kind))));
        }
        Declared::Kind(_) | Declared::Unknown => {}
    }
    let layers = document.layers.take().unwrap_or_default();
    let only_one = layers.len() == 1 && matches!(declared, Declared::Kind(_));
    let mut fitting: Vec<Descriptor> = layers.iter().filter(|layer| only_one || fits(layer, kind)).cloned().collect();
    match (fitting.len(), layers.len()) {
        (1, _) => Ok((document, fitting.remove(0))),
        (0, 0) => Err(Error::invalid(what, format!("its manifest has no layer, so there is no {kind} in it"))),
        (0, _) => {
            let advice = format!("push the file as `{}:{}`", kind.title(), kind.layer_type());
            Err(Error::invalid(what, format!("none of its layers is {} by media type or file name; {advice}", one(kind))))
        }
        (count, _) => {
            let titles: Vec<String> = fitting.iter().take(4).map(title).collect();
            Err(Error::invalid(what, format!("{count} of its layers could be the {kind} ({}); push one", titles.join(", "))))
        }
    }
}

fn one(kind: Kind) -> &'static str {
    match kind {
        Kind::Workflow => "a workflow",
        Kind::AgentCard => "an agent card",
    }
}

/// What the manifest says that it is.
enum Declared {
    Kind(Kind),
    Unknown,
    Other(String),
}

fn declared(document: &Document) -> Declared {
    let Some(declared) = document.kind_type().map(media::essence) else { return Declared::Unknown };
    let is = |base: &str| declared.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'));
    if is(media::WORKFLOW) {
        return Declared::Kind(Kind::Workflow);
    }
    if is(media::AGENT_CARD) || matches!(&*declared, "application/a2a-agent-card+json" | "application/a2a+json") {
        return Declared::Kind(Kind::AgentCard);
    }
    // Clients that were told no type leave their own placeholder or the type of an image's config.
    let placeholder = declared.starts_with("application/vnd.unknown.")
        || matches!(
            &*declared,
            media::EMPTY | "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
        );
    if placeholder { Declared::Unknown } else { Declared::Other(declared) }
}

fn fits(layer: &Descriptor, kind: Kind) -> bool {
    let media_type = media::essence(&layer.media_type);
    let title = layer.annotation(media::TITLE).unwrap_or_default().to_ascii_lowercase();
    let json = media_type.ends_with("/json") || media_type.ends_with("+json") || title.ends_with(".json");
    match kind {
        Kind::AgentCard => json,
        Kind::Workflow => {
            let yaml = ["yaml", "x-yaml", "yml"];
            let by_type = media_type.split_once('/').is_some_and(|(_, sub)| yaml.contains(&sub)) || media_type.ends_with("+yaml");
            json || by_type || title.ends_with(".yaml") || title.ends_with(".yml")
        }
    }
}

/// A title is a label for people, never a path: its last part, of harmless characters.
fn title(layer: &Descriptor) -> String {
    let title = layer.annotation(media::TITLE).unwrap_or("untitled");
    let base = title.rsplit(['/', '\\']).next().unwrap_or_default();
    shown(base)
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "._-+/".contains(*c)).take(128).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::super::digest;
    use super::*;

    const D: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn find(repository: &str, json: &str, kind: Kind) -> Result<String, String> {
        let json = json.replace('$', D);
        let manifest =
            Manifest { digest: digest::sha256(json.as_bytes()), bytes: Bytes::from(json), media_type: media::MANIFEST.to_owned() };
        fitting_layer(repository, repository, &manifest, kind).map(|(_, layer)| layer.media_type).map_err(|error| error.to_string())
    }

    fn layer(media_type: &str, title: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"$","size":2,"annotations":{{"org.opencontainers.image.title":"{title}"}}}}"#)
    }

    fn manifest(artifact: &str, config: &str, layers: &[String]) -> String {
        let artifact = if artifact.is_empty() { String::new() } else { format!(r#""artifactType":"{artifact}","#) };
        format!(
            r#"{{"schemaVersion":2,{artifact}"config":{{"mediaType":"{config}","digest":"$","size":2}},"layers":[{}],"annotations":null}}"#,
            layers.join(",")
        )
    }

    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

    #[test]
    fn what_fits_is_found() {
        let (w, a) = ("workflows/x", "agents/x");
        let cases = [
            (w, manifest(media::WORKFLOW, media::EMPTY, &[layer(media::YAML, "workflow.yaml")]), Kind::Workflow, media::YAML),
            // Typed as ours: the single layer is it, whatever it is called.
            (
                "x",
                manifest(media::WORKFLOW, media::EMPTY, &[layer("application/octet-stream", "x")]),
                Kind::Workflow,
                "application/octet-stream",
            ),
            ("x", manifest("", "application/vnd.gantry.workflow.v1+json", &[layer(TAR, "w.yml")]), Kind::Workflow, TAR),
            // Stock oras 1.1 and later, oras 1.0, python-oras, docker's config.
            (w, manifest("application/vnd.unknown.artifact.v1", media::EMPTY, &[layer(TAR, "code-generation.yaml")]), Kind::Workflow, TAR),
            (w, manifest("", "application/vnd.unknown.config.v1+json", &[layer(media::YAML, "")]), Kind::Workflow, media::YAML),
            (
                w,
                manifest("", "application/vnd.oci.image.config.v1+json", &[layer("text/x-yaml; charset=utf-8", "")]),
                Kind::Workflow,
                "text/x-yaml; charset=utf-8",
            ),
            ("acme/workflows/x", manifest("", media::EMPTY, &[layer("application/json", "")]), Kind::Workflow, "application/json"),
            // Beside a layer of another form.
            (w, manifest("", media::EMPTY, &[layer("text/markdown", "README.md"), layer(TAR, "x.yaml")]), Kind::Workflow, TAR),
            (a, manifest(media::AGENT_CARD, media::EMPTY, &[layer(media::JSON, "agent-card.json")]), Kind::AgentCard, media::JSON),
            (a, manifest("application/a2a-agent-card+json", media::EMPTY, &[layer(TAR, "card.json")]), Kind::AgentCard, TAR),
            ("x", manifest("application/a2a+json", "", &[layer(media::JSON, "")]), Kind::AgentCard, media::JSON),
            (a, manifest("application/vnd.unknown.artifact.v1", "", &[layer(TAR, "card.JSON")]), Kind::AgentCard, TAR),
        ];
        for (repository, json, kind, expected) in cases {
            assert_eq!(find(repository, &json, kind).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let (w, a) = ("workflows/x", "agents/x");
        let yaml = || layer(media::YAML, "workflow.yaml");
        let cases = [
            (w, manifest(media::AGENT_CARD, media::EMPTY, &[yaml()]), Kind::Workflow, "it is an agent card, not a workflow"),
            (a, manifest(media::WORKFLOW, media::EMPTY, &[yaml()]), Kind::AgentCard, "it is a workflow, not an agent card"),
            (
                w,
                manifest("application/vnd.cncf.helm.chart.v1", media::EMPTY, &[yaml()]),
                Kind::Workflow,
                "has the type application/vnd.cncf.helm.chart.v1",
            ),
            (
                w,
                manifest(media::WORKFLOW, media::EMPTY, &[yaml(), layer(TAR, "../../etc/b.yml")]),
                Kind::Workflow,
                "2 of its layers could be the workflow (workflow.yaml, b.yml)",
            ),
            (w, manifest(media::WORKFLOW, media::EMPTY, &[]), Kind::Workflow, "has no layer"),
            (w, manifest("", media::EMPTY, &[layer(TAR, "x.tar")]), Kind::Workflow, "none of its layers"),
            (a, manifest("", media::EMPTY, &[yaml()]), Kind::AgentCard, "none of its layers"),
            ("library/x", manifest("", media::EMPTY, &[yaml()]), Kind::Workflow, "does not say that it is a workflow"),
            (a, manifest("", media::EMPTY, &[yaml()]), Kind::Workflow, "does not say that it is a workflow"),
            (w, format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media::INDEX), Kind::Workflow, "image index"),
            (w, r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(), Kind::Workflow, "image index"),
            (w, "<html>".to_owned(), Kind::Workflow, "cannot be read"),
            (w, r#"{"layers":[{"digest":1}]}"#.to_owned(), Kind::Workflow, "cannot be read"),
            (w, "[".repeat(1_000_000), Kind::Workflow, "cannot be read"),
        ];
        for (repository, json, kind, reason) in cases {
            let error = find(repository, &json, kind).expect_err(&json[..json.len().min(200)]);
            assert!(error.contains(reason), "{error}");
        }
    }
}
