//! The words of OCI artifacts: media types and annotation keys.
//!
//! Used by whoever builds or reads manifests. Keys of our own begin with `dev.gantry.`.

/// A workflow: `artifactType` of its manifest.
pub const WORKFLOW: &str = "application/vnd.gantry.workflow.v1";
/// An agent card: `artifactType` of its manifest.
pub const AGENT_CARD: &str = "application/vnd.gantry.agent-card.v1";
/// The layer of a workflow.
pub const YAML: &str = "application/yaml";
/// The layer of an agent card.
pub const JSON: &str = "application/json";
/// An image manifest, which every artifact has (image-spec, manifest.md).
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index (image-spec, image-index.md).
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The empty config, whose content is [`EMPTY_JSON`].
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of the empty config.
pub const EMPTY_JSON: &[u8] = b"{}";

/// A layer's file name. A label for people, never a path.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The version of what is packed.
pub const VERSION: &str = "org.opencontainers.image.version";
/// A sentence about it.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// When it was packed (RFC 3339). Left out, equal content has an equal digest.
pub const CREATED: &str = "org.opencontainers.image.created";
/// The tag of a manifest in the index of an image layout (image-spec, image-layout.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// `metadata.id` of a workflow, or the name of an agent.
pub const ID: &str = "dev.gantry.id";
/// A workflow's tags as a JSON array of texts.
pub const TAGS: &str = "dev.gantry.tags";
/// The skills a workflow needs or a card offers, as a JSON array of texts.
pub const SKILLS: &str = "dev.gantry.skills";
/// A workflow's inputs.
pub const INPUTS: &str = "dev.gantry.inputs";
/// Where an agent is.
pub const URL: &str = "dev.gantry.url";
/// The A2A versions an agent speaks.
pub const PROTOCOL_VERSIONS: &str = "dev.gantry.protocol-versions";

/// A media type without its parameters, in lower case.
pub(super) fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
