//! From a request path to the mount that serves it.

use super::Mounted;
use std::{
    collections::BTreeMap,
    ops::Bound::{Included, Unbounded},
    sync::Arc,
};

/// All mounts by path. No path is a prefix of another, so at most one can match, and it is the greatest key that is
/// not greater than the request's path.
#[derive(Default, Clone)]
pub(crate) struct Router {
    by_path: BTreeMap<String, Arc<Mounted>>,
}

impl Router {
    /// The mount of `path` (no leading slash) and the rest behind the mount's path.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<(&Arc<Mounted>, &'p str)> {
        if let Some((mount, mounted)) = self.by_path.range::<str, _>((Unbounded, Included(path))).next_back()
            && let Some(rest) = path.strip_prefix(mount.as_str())
        {
            return Some((mounted, rest));
        }
        // `LIST cubbyhole` addresses `cubbyhole/`.
        let (mount, mounted) = self.by_path.get_key_value(&format!("{path}/"))?;
        (mount.len() == path.len() + 1).then_some((mounted, ""))
    }

    /// The mount exactly at `path`.
    pub(crate) fn at(&self, path: &str) -> Option<&Arc<Mounted>> {
        self.by_path.get(path)
    }

    /// The mount that stands in the way of a new one at `path`: the same, above or below it.
    pub(crate) fn conflict(&self, path: &str) -> Option<&str> {
        self.by_path
            .keys()
            .find(|taken| path.starts_with(taken.as_str()) || taken.starts_with(path))
            .map(String::as_str)
    }

    pub(crate) fn insert(&mut self, mounted: Arc<Mounted>) {
        self.by_path.insert(mounted.entry.path.clone(), mounted);
    }

    pub(crate) fn remove(&mut self, path: &str) -> Option<Arc<Mounted>> {
        self.by_path.remove(path)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Mounted>> {
        self.by_path.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::tests::mounted;

    #[test]
    fn the_longest_and_only_prefix_wins() {
        let mut router = Router::default();
        for path in ["a/", "ab/", "auth/token/", "auth/x/y/"] {
            router.insert(mounted(path));
        }
        let find = |path: &'static str| router.find(path).map(|(m, rest)| (m.entry.path.clone(), rest));
        assert_eq!(find("a/x/y"), Some(("a/".into(), "x/y")));
        assert_eq!(find("ab/x"), Some(("ab/".into(), "x")));
        assert_eq!(find("auth/x/y/z"), Some(("auth/x/y/".into(), "z")));
        assert_eq!(find("a"), Some(("a/".into(), "")));
        assert_eq!(find("auth/x/z"), None);
        assert_eq!(find("abc"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn paths_above_and_below_a_mount_are_taken() {
        let mut router = Router::default();
        router.insert(mounted("a/b/"));
        assert_eq!(router.conflict("a/"), Some("a/b/"));
        assert_eq!(router.conflict("a/b/c/"), Some("a/b/"));
        assert_eq!(router.conflict("a/bc/"), None);
    }
}
