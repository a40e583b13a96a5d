//! Which tag of a repository is meant when none is asked for.
//!
//! The rule: the highest semantic version among the tags; pre-releases only when there is nothing else; without any version
//! `latest`; without that the last tag by name. `v1` and `v1.2` count as `1.0.0` and `1.2.0`; of equal versions the tag that is
//! written in full goes first. Build metadata is written with `_` in tags, which may not hold `+`.

use std::cmp::Ordering;

use semver::Version;

use crate::ids::Digest;

/// The tags of one repository, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Versions(Vec<Tag>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    name: String,
    version: Option<Read>,
}

/// A tag that is read as a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    version: Version,
    /// How many of major, minor and patch were written.
    parts: usize,
}

impl Versions {
    /// Sorts tags. Tags that stand for referrers of a digest are none.
    pub(super) fn new(tags: impl IntoIterator<Item = String>) -> Self {
        let mut tags: Vec<_> = tags.into_iter().filter(|tag| !is_referrer(tag)).map(|name| Tag { version: read(&name), name }).collect();
        tags.sort_by(|a, b| rank(a, b).reverse());
        tags.dedup();
        Self(tags)
    }

    /// The tags, best first.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|tag| tag.name.as_str())
    }

    /// The tag that is meant, and why.
    pub(super) fn choose(&self) -> Option<(&str, String)> {
        let best = self.0.first()?;
        let releases = self.0.iter().filter(|tag| tag.is_release()).count();
        let versions = self.0.iter().filter(|tag| tag.version.is_some()).count();
        let why = match (releases, versions, self.0.len()) {
            (_, _, 1) => "only tag".to_owned(),
            (0, 0, _) if best.name == LATEST => "tag `latest`, no tag is a version".to_owned(),
            (0, 0, count) => format!("last of {count} tags by name, no tag is a version"),
            (0, 1, _) => "only version, a pre-release".to_owned(),
            (0, count, _) => format!("highest of {count} pre-releases, there is no release"),
            (1, 1, _) => "only version".to_owned(),
            (1, _, _) => "only version that is no pre-release".to_owned(),
            (count, _, _) => format!("highest of {count} versions"),
        };
        Some((&best.name, why))
    }

    /// Whether a version that is to be pushed is at least as high as all that are there. A pre-release is lower than any release.
    pub(super) fn is_highest(&self, version: &Version) -> bool {
        let Some(highest) = self.0.first().and_then(|tag| tag.version.as_ref()) else { return true };
        match version.pre.is_empty().cmp(&highest.version.pre.is_empty()) {
            Ordering::Equal => version >= &highest.version,
            order => order.is_gt(),
        }
    }

    /// Whether any tag is a version.
    pub(super) fn has_versions(&self) -> bool {
        self.0.first().is_some_and(|tag| tag.version.is_some())
    }
}

/// The moving tag of people who do not write versions.
pub(super) const LATEST: &str = "latest";

/// A tag or `metadata.version` as a version: `1.2.0`, `v1`, `v1.2`, `1.2.0_build`.
pub(super) fn version_of(tag: &str) -> Option<Version> {
    read(tag).map(|read| read.version)
}

impl Tag {
    fn is_release(&self) -> bool {
        self.version.as_ref().is_some_and(|read| read.version.pre.is_empty())
    }
}

fn rank(a: &Tag, b: &Tag) -> Ordering {
    let written = |tag: &Tag| tag.version.as_ref().map(|read| (read.version.clone(), read.parts));
    (a.is_release().cmp(&b.is_release()))
        .then_with(|| written(a).cmp(&written(b)))
        .then_with(|| (a.name == LATEST).cmp(&(b.name == LATEST)))
        .then_with(|| a.name.cmp(&b.name))
}

fn read(tag: &str) -> Option<Read> {
    let text = tag.strip_prefix('v').unwrap_or(tag).replacen('_', "+", 1);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let parts = core.split('.').count();
    let missing = match parts {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    Version::parse(&format!("{core}{missing}{rest}")).ok().map(|version| Read { version, parts })
}

/// `sha256-<hex>` with or without a suffix: how registries without referrers keep them (distribution-spec, "Referrers Tag Schema").
fn is_referrer(tag: &str) -> bool {
    let Some((algorithm, rest)) = tag.split_once('-') else { return false };
    let hex = rest.split('.').next().unwrap_or(rest);
    Digest::parse(&format!("{algorithm}:{hex}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tags: &[&str], chosen: &str, why: &str) {
        for tags in [tags.to_vec(), tags.iter().rev().copied().collect()] {
            let versions = Versions::new(tags.iter().map(|&tag| tag.to_owned()));
            assert_eq!(versions.choose(), Some((chosen, why.to_owned())), "of {tags:?}");
        }
    }

    #[test]
    fn the_highest_version_is_chosen() {
        check(&["v1"], "v1", "only tag");
        check(&["1.0.0", "1.2.0", "1.10.0"], "1.10.0", "highest of 3 versions");
        check(&["1.0.0", "1.2.0", "latest"], "1.2.0", "highest of 2 versions");
        check(&["v1", "1.2.0"], "1.2.0", "highest of 2 versions");
        check(&["v1", "v2", "v10"], "v10", "highest of 3 versions");
        check(&["v1", "1.0.0", "v1.0"], "1.0.0", "highest of 3 versions");
        check(&["v2", "v1.9"], "v2", "highest of 2 versions");
        check(&["1.0.0_1", "1.0.0_2"], "1.0.0_2", "highest of 2 versions");
        check(&["2.0.0-rc.1", "1.0.0"], "1.0.0", "only version that is no pre-release");
        check(&["2.0.0-rc.1", "1.0.0", "1.0.1"], "1.0.1", "highest of 2 versions");
        check(&["2.0.0-rc.2", "2.0.0-rc.10", "latest"], "2.0.0-rc.10", "highest of 2 pre-releases, there is no release");
        check(&["v2-beta", "latest"], "v2-beta", "only version, a pre-release");
        check(&["1.0.0", "latest", "nightly"], "1.0.0", "only version");
        check(&["nightly", "latest", "zzz"], "latest", "tag `latest`, no tag is a version");
        check(&["edge", "nightly"], "nightly", "last of 2 tags by name, no tag is a version");
        check(&["007", "edge"], "edge", "last of 2 tags by name, no tag is a version");
        let referrer = format!("sha256-{}", "0".repeat(64));
        check(&["v1", &referrer, &format!("{referrer}.sig")], "v1", "only tag");
        assert_eq!(Versions::new([]).choose(), None);
    }

    #[test]
    fn latest_moves_only_upwards() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&[], "1.0.0", true),
            (&["latest"], "0.1.0", true),
            (&["1.0.0"], "1.0.0", true),
            (&["1.2.0"], "1.1.9", false),
            (&["1.2.0"], "2.0.0-rc.1", false),
            (&["2.0.0-rc.1"], "1.0.0", true),
            (&["2.0.0-rc.1"], "2.0.0-rc.2", true),
            (&["v3"], "2.0.0", false),
        ];
        for (tags, version, expected) in cases {
            let versions = Versions::new(tags.iter().map(|&tag| tag.to_owned()));
            assert_eq!(versions.is_highest(&Version::parse(version).unwrap()), *expected, "{version} over {tags:?}");
        }
    }
}
