//! `{{templates}}` in policy paths: values of the caller's identity, refused where they could widen the path.
//!
//! GHSA-59w7-v8rr-pr4p: a value that holds `*`, `+` or `/` would turn one rule into another; such a rule grants nothing.

/// Most templates in one path.
const MAX_TEMPLATES: usize = 16;

/// Whether the braces of a path are balanced and its templates within bounds.
pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    split(path).map(drop)
}

/// Fills the templates of `path` in. `None` where a value is unknown or hostile: then the rule grants nothing.
pub(crate) fn fill(path: &str, value_of: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if !path.contains("{{") {
        return Some(path.to_owned());
    }
    let mut filled = String::with_capacity(path.len());
    for part in split(path).ok()? {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Template(name) => {
                let value = value_of(name)?;
                if is_hostile(&value) {
                    return None;
                }
                filled.push_str(&value);
            }
        }
    }
    Some(filled)
}

fn is_hostile(value: &str) -> bool {
    value.is_empty()
        || value == "."
        || value == ".."
        || value.chars().any(|c| c.is_control() || matches!(c, '/' | '*' | '+' | '\\' | '{' | '}' | ','))
}

enum Part<'a> {
    Text(&'a str),
    Template(&'a str),
}

fn split(path: &str) -> Result<Vec<Part<'_>>, &'static str> {
    const UNBALANCED: &str = "unbalanced templating characters";
    let mut parts = Vec::new();
    let mut rest = path;
    let mut templates = 0;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, tail) = behind.split_once("}}").ok_or(UNBALANCED)?;
        if before.contains("}}") || name.contains("{{") {
            return Err(UNBALANCED);
        }
        templates += 1;
        if templates > MAX_TEMPLATES {
            return Err("too many templates");
        }
        let name = name.trim();
        if name.is_empty() {
            return Err("no template name");
        }
        parts.push(Part::Text(before));
        parts.push(Part::Template(name));
        rest = tail;
    }
    if rest.contains("}}") {
        return Err(UNBALANCED);
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_filled_in() {
        let value_of = |name: &str| (name == "identity.entity.id").then(|| "e-1".to_owned());
        assert_eq!(fill("a/{{identity.entity.id}}/*", &value_of).as_deref(), Some("a/e-1/*"));
        assert_eq!(fill("a/{{ identity.entity.id }}", &value_of).as_deref(), Some("a/e-1"));
        assert_eq!(fill("a/{{foo}}", &value_of), None);
        assert_eq!(fill("a/b", &value_of).as_deref(), Some("a/b"));
    }

    #[test]
    fn ghsa_59w7_v8rr_pr4p_hostile_values_void_the_rule() {
        for hostile in ["*", "+", "a/b", "a*", "", "..", "a,b", "{{x}}", "a\u{0}"] {
            assert_eq!(fill("a/{{x}}/c", &|_| Some(hostile.to_owned())), None, "{hostile:?}");
        }
    }

    #[test]
    fn unbalanced_and_nested_braces_are_refused() {
        for path in ["{{a", "a}}", "{{a{{b}}}}", "{{}}", &"{{a}}".repeat(17)] {
            assert!(check(path).is_err(), "{path}");
        }
        assert!(check("{{a}}/{b}").is_ok());
    }
}
