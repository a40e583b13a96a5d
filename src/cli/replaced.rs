//! What a version was before something is pushed under it: `workflow push` and `agent push` say when it moves to other content.

use super::terminal::say;
use crate::discovery::Discovery;
use crate::ids::Digest;
use crate::registry::{Pushed, tag_of_version};

/// A version that is about to be pushed.
pub(super) struct Version<'a> {
    repository: &'a str,
    version: &'a str,
    tag: String,
    /// What its tag points at before.
    before: Digest,
}

impl<'a> Version<'a> {
    /// None when there is no such version yet. One that cannot be looked up is pushed all the same, or the push says why not.
    pub(super) async fn look_up(discovery: &Discovery, repository: &'a str, version: &'a str) -> Option<Self> {
        let tag = tag_of_version(version).ok()?;
        let before = discovery.tagged(repository, &tag).await.ok().flatten()?;
        Some(Self { repository, version, tag, before })
    }

    /// Warns when the push has moved the version, and tells what it was. `key`: where it is written.
    pub(super) fn moved_by(self, pushed: &Pushed, what: &str, key: &str) -> Option<Digest> {
        let Self { repository, version, tag, before } = self;
        // Of cards only semantic versions become tags.
        if before == pushed.digest || !pushed.tags.contains(&tag) {
            return None;
        }
        let now = &pushed.digest;
        say(&format!(
            "warning: version {version} of `{what}` was there with other content: {repository}:{tag} was {before} and is now {now}"
        ));
        say(&format!("  hint: raise `{key}` to keep both; the one before is still there by its digest"));
        Some(before)
    }
}
