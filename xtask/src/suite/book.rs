//! The book of `docs`, built, and every link in it and in the other pages followed.

use std::fs;
use std::path::{Path, PathBuf};

use super::Suite;
use crate::failure::{Context as _, Failure, Result};
use crate::place;
use crate::program::Program;
use crate::tally::Tally;
use crate::tool::Tool;

const MDBOOK: Tool = Tool { package: "mdbook", version: "0.5.4", program: "mdbook", switches: &["--no-default-features"], is_long: false };

/// Links of the book to what is not in it.
const REPOSITORY: &str = "https://github.com/gpve/gpve/blob/main/";

pub(super) fn run(suite: &Suite, tally: &mut Tally) -> Result {
    let root = place::root();
    tally.check("links of the pages", told(broken(&pages(root)?, "](", ")")?));
    let mdbook = match MDBOOK.get() {
        Ok(mdbook) => mdbook,
        Err(why) => {
            tally.skip("book", &why.to_string());
            return Ok(());
        }
    };
    let book = suite.target.join("book");
    let build = Program::new(mdbook).args(["build", "docs", "--dest-dir"]).arg(&book).directory(root);
    suite.check(tally, "book", build)?;
    tally.check("links of the book", told(broken(&files(&book, "html")?, "href=\"", "\"")?));
    Ok(())
}

/// Whether there was nothing to tell.
fn told(broken: Vec<String>) -> bool {
    broken.iter().for_each(crate::program::say);
    broken.is_empty()
}

/// The repository's own pages.
fn pages(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Program::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]).directory(root).read()?;
    Ok(listed.lines().map(|line| root.join(line)).filter(|path| path.is_file()).collect())
}

fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).context(directory.display())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The links in some files, written between two texts, that lead nowhere in this tree; those to elsewhere are not followed.
fn broken(files: &[PathBuf], before: &str, after: &str) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).context(file.display())?;
        let directory = file.parent().ok_or_else(|| Failure::new("a file in no directory"))?;
        for link in links(&text, before, after) {
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let path = match (target, target.strip_prefix(REPOSITORY)) {
                (_, Some(inside)) => place::root().join(inside),
                ("", None) => file.clone(),
                (target, None) if target.contains(':') => continue,
                (target, None) => directory.join(target),
            };
            if !path.exists() || !anchor.is_none_or(|anchor| has_anchor(&path, anchor)) {
                broken.push(format!("{}: '{link}' leads nowhere", file.display()));
            }
        }
    }
    Ok(broken)
}

fn links<'t>(text: &'t str, before: &str, after: &str) -> impl Iterator<Item = &'t str> {
    text.split(before)
        .skip(1)
        .filter_map(move |rest| rest.split_once(after).map(|(link, _)| link))
        .filter(|link| !link.contains(['\n', ' ']))
}

/// Whether a page has that place; only what a browser would look for in HTML is told.
fn has_anchor(page: &Path, anchor: &str) -> bool {
    let is_html = page.extension().is_some_and(|extension| extension == "html");
    !is_html || anchor.is_empty() || fs::read_to_string(page).is_ok_and(|text| text.contains(&format!("id=\"{anchor}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_told_and_one_to_elsewhere_is_not_followed() {
        let directory = std::env::temp_dir().join(format!("gpve-book-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let page = directory.join("page.html");
        let good = format!(
            "<h1 id=\"top\"></h1> href=\"#top\" href=\"page.html#top\" href=\"https://x.example/y\" href=\"{REPOSITORY}README.md\""
        );
        fs::write(&page, format!("{good} href=\"#bottom\" href=\"gone.html\" href=\"{REPOSITORY}gone.md\"")).unwrap();
        let broken = broken(&[page], "href=\"", "\"").unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(broken.len(), 3, "{broken:?}");
        assert!(broken[0].ends_with("'#bottom' leads nowhere"), "{broken:?}");
    }
}
