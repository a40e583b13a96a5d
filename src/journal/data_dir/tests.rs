//! Who holds a data directory: one process, whatever the directory is called, and never a copy of what another one holds.

use std::fs::File;
use std::path::{Path, PathBuf};

use fs4::FileExt;

use super::{DataDir, LOCK, LOCK_ATTEMPTS};

/// Copies a directory as `cp -r` does.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn refusal(&self, name: &str) -> String {
        DataDir::lock(&self.path(name)).unwrap_err().to_string()
    }
}

#[test]
fn a_copy_of_a_directory_that_is_held_is_refused_and_says_what_to_do() {
    let site = Site::new();
    let mut held = DataDir::lock(&site.path("live")).unwrap();
    held.announce("ask here").unwrap();
    copy(&site.path("live"), &site.path("copy"));
    let refusal = site.refusal("copy");
    let live = site.path("live").canonicalize().unwrap();
    for part in [format!("a copy of {}", live.display()), format!("held by process {}", std::process::id()), "Stop that one".to_owned()] {
        assert!(refusal.contains(&part), "{refusal}");
    }
    assert_eq!(DataDir::announced(&site.path("copy")), None, "who asks the copy does not reach the original's holder");
    assert_eq!(DataDir::announced(&site.path("live")).as_deref(), Some("ask here"));
    assert_eq!(site.refusal("copy"), refusal, "a refusal changes nothing");
    drop(held);
    DataDir::lock(&site.path("copy")).unwrap();
    assert!(DataDir::lock(&site.path("live")).is_ok(), "looking at it holds nothing");
}

#[test]
fn a_copy_of_a_copy_is_one_of_the_copy() {
    let site = Site::new();
    drop(DataDir::lock(&site.path("live")).unwrap());
    copy(&site.path("live"), &site.path("backup"));
    let held = DataDir::lock(&site.path("backup")).unwrap();
    copy(&site.path("backup"), &site.path("second"));
    assert!(site.refusal("second").contains(&format!("a copy of {}", site.path("backup").canonicalize().unwrap().display())));
    drop(held);
}

#[test]
fn a_directory_that_was_moved_or_restored_is_used_whoever_is_in_its_old_place() {
    let site = Site::new();
    drop(DataDir::lock(&site.path("old")).unwrap());
    copy(&site.path("old"), &site.path("backup"));
    std::fs::rename(site.path("old"), site.path("moved")).unwrap();
    // Another one begins where it was.
    let _other = DataDir::lock(&site.path("old")).unwrap();
    drop(DataDir::lock(&site.path("moved")).unwrap());
    drop(DataDir::lock(&site.path("backup")).unwrap());
}

#[test]
fn a_lock_file_that_says_nothing_or_nonsense_is_one_of_its_own() {
    let site = Site::new();
    for (index, text) in
        ["", "process 7\n", "process 7\n{\"address\":1}\n", "process 7\nplace x y\n", "process 7\nplace 1 2 /nowhere\n"].iter().enumerate()
    {
        let path = site.path(&index.to_string());
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("lock"), text).unwrap();
        assert!(DataDir::lock(&path).is_ok(), "{text:?}");
    }
}

#[test]
fn whoever_holds_a_directory_can_be_named_and_who_looks_holds_nothing() {
    let site = Site::new();
    assert_eq!(DataDir::holder(&site.path("live")), None, "there is none");
    let held = DataDir::lock(&site.path("live")).unwrap();
    let name = format!("process {}", std::process::id());
    assert_eq!(DataDir::holder(&site.path("live")).as_deref(), Some(name.as_str()));
    copy(&site.path("live"), &site.path("copy"));
    assert_eq!(DataDir::holder(&site.path("copy")), None, "its copy is held by nobody");
    drop(held);
    assert_eq!(DataDir::holder(&site.path("live")), None);
    assert!(DataDir::lock(&site.path("live")).is_ok());
}

#[test]
fn who_only_looks_whether_it_is_held_holds_up_nobody_for_long() {
    let dir = tempfile::tempdir().unwrap();
    drop(DataDir::lock(dir.path()).unwrap());
    // How many rests it looks for, and whether it is locked then.
    for (looks_for, locked) in [(0, true), (1, true), (LOCK_ATTEMPTS, true), (LOCK_ATTEMPTS + 1, false)] {
        let mut lock = Some(File::open(dir.path().join(LOCK)).unwrap());
        FileExt::try_lock_shared(lock.as_ref().unwrap()).unwrap();
        lock.take_if(|_| looks_for == 0);
        let mut rests = 0;
        let held = DataDir::lock_resting(dir.path(), || {
            rests += 1;
            lock.take_if(|_| rests == looks_for);
        });
        assert_eq!((held.is_ok(), rests), (locked, looks_for.min(LOCK_ATTEMPTS)), "{looks_for}");
    }
}

/// Whoever is killed between the new text and the cut leaves the end of the old one behind it.
#[test]
fn an_old_text_that_was_not_cut_off_changes_nothing() {
    let site = Site::new();
    let live = site.path("live");
    let lock = live.join(LOCK);
    for notes in [&["the note"][..], &["another", "the note"], &["the note that is not the last, and is long", "the note"]] {
        let mut held = DataDir::lock(&live).unwrap();
        notes.iter().for_each(|note| held.note(note).unwrap());
        held.announce("ask here").unwrap();
        drop(held);
        let old = std::fs::read(&lock).unwrap();
        drop(DataDir::lock(&live).unwrap());
        let new = std::fs::read(&lock).unwrap();
        let uncut = [&new[..], &old[new.len().min(old.len())..]].concat();
        std::fs::write(&lock, uncut).unwrap();
        assert_eq!(DataDir::noted(&live).as_deref(), Some("the note"), "{notes:?}");
        drop(DataDir::lock(&live).unwrap());
        assert_eq!(std::fs::read(&lock).unwrap(), new, "{notes:?}");
    }
}

#[test]
fn what_was_noted_before_is_put_back_also_when_it_was_nothing() {
    let site = Site::new();
    let live = site.path("live");
    for (earlier, expected) in [("", None), ("earlier", Some("earlier")), ("", None)] {
        DataDir::lock(&live).unwrap().note(earlier).unwrap();
        let mut held = DataDir::lock(&live).unwrap();
        assert_eq!(held.was_noted(), expected.is_some());
        held.note("own").unwrap();
        assert_eq!(held.was_noted(), expected.is_some(), "what it notes itself is not earlier");
        held.note_earlier().unwrap();
        assert_eq!(DataDir::noted(&live).as_deref(), expected);
    }
}

#[test]
fn a_note_outlives_its_holder_and_stands_beside_what_is_announced() {
    let site = Site::new();
    let live = site.path("live");
    assert_eq!(DataDir::noted(&live), None, "there is no directory");
    let mut held = DataDir::lock(&live).unwrap();
    assert_eq!(DataDir::noted(&live), None);
    held.note("first").unwrap();
    held.announce("ask here").unwrap();
    held.note("second").unwrap();
    assert_eq!(DataDir::noted(&live).as_deref(), Some("second"));
    assert_eq!(DataDir::announced(&live).as_deref(), Some("ask here"));
    copy(&live, &site.path("copy"));
    assert!(site.refusal("copy").contains("a copy of"));
    assert_eq!(DataDir::noted(&site.path("copy")).as_deref(), Some("second"), "the runs of a copy are the same");
    drop(held);
    // Who holds it for a moment, to forget runs, changes nothing.
    let mut held = DataDir::lock(&live).unwrap();
    assert_eq!(DataDir::announced(&live), None);
    assert_eq!(DataDir::noted(&live).as_deref(), Some("second"));
    held.note(&"x".repeat(100_000)).unwrap();
    assert_eq!(DataDir::noted(&live), None, "nothing is better than what is wrong or cut");
    held.announce("ask there").unwrap();
    assert_eq!(DataDir::announced(&live).as_deref(), Some("ask there"));
    drop(held);
    // Those of before are not kept but for the last.
    for n in 0..100 {
        let mut held = DataDir::lock(&live).unwrap();
        held.note(&format!("{n} {}", "x".repeat(3_000))).unwrap();
        held.announce("ask now").unwrap();
        assert!(DataDir::noted(&live).unwrap().starts_with(&format!("{n} ")));
        held.note(&DataDir::noted(&live).unwrap()).unwrap();
        assert_eq!(DataDir::announced(&live).as_deref(), Some("ask now"));
    }
}
