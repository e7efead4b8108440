//! Names and filters of topics, and which name a filter matches. Who has subscribed to what is not here.

/// Whether `name` can be published to.
///
/// It is text already: [MQTT-4.7.3-2] and [MQTT-4.7.3-3] are kept by whoever read it from its packet.
pub(super) fn is_name(name: &str) -> bool {
    // [MQTT-4.7.3-1], [MQTT-3.3.2-2] (which says the same as [MQTT-4.7.1-1])
    !name.is_empty() && !name.contains(['+', '#'])
}

/// Whether `filter` can be subscribed to.
pub(super) fn is_filter(filter: &str) -> bool {
    if filter.is_empty() {
        return false; // [MQTT-4.7.3-1]
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let stands_alone = level.len() == 1;
        // [MQTT-4.7.1-2]: `#` fills its level, and that is the last. [MQTT-4.7.1-3]: `+` fills its level.
        if level.contains('#') && !(stands_alone && levels.peek().is_none()) || level.contains('+') && !stands_alone {
            return false;
        }
    }
    true
}

/// Whether `filter` matches `name`.
pub(super) fn matches(filter: &str, name: &str) -> bool {
    // [MQTT-4.7.2-1]
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = name.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true, // the parent too: section 4.7.1.2
            ("+", Some(_)) => (),
            // No other comparison, and no level is left out: [MQTT-4.7.3-4].
            (level, Some(other)) if level == other => (),
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// With what every name begins that `filter` matches, so that not all names have to be looked at.
pub(super) fn prefix(filter: &str) -> &str {
    match filter.split_once(['+', '#']) {
        // `a/#` matches `a`, too.
        Some((literal, _)) => literal.strip_suffix('/').unwrap_or(literal),
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, matched: &[&str], others: &[&str]) {
        assert!(is_filter(filter));
        for name in matched {
            assert!(is_name(name) && matches(filter, name), "{name}");
            assert!(name.starts_with(prefix(filter)), "{name}");
        }
        for name in others {
            assert!(!matches(filter, name), "{name}");
        }
    }

    #[test]
    fn the_examples_of_section_4_7() {
        check(
            "sport/tennis/player1/#",
            &["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"],
            &["sport/tennis", "sport/tennis/player10"],
        );
        check("sport/#", &["sport", "sport/", "sport/a/b"], &["sports", "$sport"]);
        check("#", &["a", "/", "a/b/c", "/finance"], &["$SYS", "$SYS/broker"]);
        check("sport/tennis/+", &["sport/tennis/player1", "sport/tennis/"], &["sport/tennis/player1/ranking"]);
        check("sport/+", &["sport/", "sport/a"], &["sport"]);
        check("+/+", &["/finance", "a/b"], &["finance", "$SYS/a"]);
        check("/+", &["/finance"], &["finance"]);
        check("+", &["finance"], &["/finance", "$SYS"]);
        check("+/tennis/#", &["sport/tennis", "/tennis/a"], &["$SYS/tennis"]);
        check("$SYS/#", &["$SYS", "$SYS/a/b"], &["SYS"]);
        check("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor"]);
        check("ACCOUNTS", &["ACCOUNTS"], &["Accounts", "ACCOUNTS/"]);
    }

    #[test]
    fn a_prefix_is_what_stands_before_the_first_wildcard() {
        for (filter, expected) in
            [("a/b", "a/b"), ("a/+/b", "a"), ("a/#", "a"), ("#", ""), ("/+", ""), ("ab/c/+", "ab/c")]
        {
            assert_eq!(prefix(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_wildcard_stands_alone_in_its_level_and_a_number_sign_last() {
        for filter in ["", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "a/+b", "##", "#/", "++"] {
            assert!(!is_filter(filter), "{filter}");
        }
    }

    #[test]
    fn a_name_has_no_wildcard_and_a_character() {
        for name in ["", "a/+", "#", "a+b"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name("$SYS/a") && is_name("/") && is_name("a b/ü"));
    }
}
