use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn pattern(regex: &str) -> Result<Pattern, String> {
    Pattern::new("test", None, regex, Kind::AuthFailed, None).map_err(|error| error.to_string())
}

#[test]
fn maillog_pattern_good_ones() {
    // name, expression, message, (address, user)
    type Want = Option<(&'static str, Option<&'static str>)>;
    let cases: &[(&str, &str, &str, Want)] = &[
        (
            "address first",
            r"^login failed from (?P<address>[0-9a-f.:]+) as (?P<user>.*)$",
            "login failed from 192.0.2.1 as bob from 198.51.100.7",
            Some(("192.0.2.1", Some("bob from 198.51.100.7"))),
        ),
        (
            "newer way to name a group",
            r"^from (?<address>\S+)",
            "from 192.0.2.1 x",
            Some(("192.0.2.1", None)),
        ),
        (
            "one word before",
            r"^login failed for (?<user>[^ ]+) from (?<address>\S+)",
            "login failed for bob from 192.0.2.1",
            Some(("192.0.2.1", Some("bob"))),
        ),
        (
            "a word of another class",
            r"^(?<user>\S+) failed from (?<address>\S+)$",
            "bob failed from 192.0.2.1",
            Some(("192.0.2.1", Some("bob"))),
        ),
        (
            "name in brackets",
            r"^login <(?<user>[^>]*)> failed \[(?<address>[^\]]+)\]",
            "login <b ob> failed [2001:db8::1]",
            Some(("2001:db8::1", Some("b ob"))),
        ),
        (
            "optional fixed text",
            r"^(?:warning: )?failed from (?<address>\S+)",
            "failed from 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "alternatives",
            r"^(?:LOGIN|PLAIN|CRAM-MD5) failed from (?<address>\S+)",
            "PLAIN failed from 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "digits",
            r"^\[[0-9]+\] failed from (?<address>\S+)",
            "[4711] failed from 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "any byte, a fixed number of times",
            r"^.{3} (?<address>\S+)",
            "abc 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "whatever the case",
            r"(?i)^failed for [^ ]+ from (?<address>\S+)",
            "FAILED for x From 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "group within a group",
            r"^failed (from (?<address>\S+))",
            "failed from 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "port behind",
            r"^from (?<address>[0-9.]+)",
            "from 192.0.2.1:4711",
            Some(("192.0.2.1", None)),
        ),
        (
            "mapped",
            r"^from (?<address>\S+)",
            "from ::ffff:192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "another message",
            r"^from (?<address>\S+)",
            "login from 192.0.2.1",
            None,
        ),
        ("no address", r"^from (?<address>\S+)", "from mx.example.com", None),
        (
            "a part of an address",
            r"^from (?<address>[0-9.:]+?)",
            "from 192.0.2.1",
            None,
        ),
        (
            "the start of a longer one",
            r"^from (?<address>[0-9a-f:]{11})",
            "from 2001:db8::15",
            None,
        ),
        (
            "not UTF-8 before it",
            r"^for [^ ]+ from (?<address>\S+)",
            "for \u{e9} from 192.0.2.1",
            Some(("192.0.2.1", None)),
        ),
        (
            "user with an address",
            r"^for (?<user>[^ ]+) from (?<address>\S+)",
            "for a from 198.51.100.7 x from 192.0.2.1",
            None,
        ),
        (
            "user around the address",
            r"^for (?<user>[^ ]+) from (?<address>\S+)",
            "for a from 198.51.100.7 from 192.0.2.1 from 198.51.100.7",
            None,
        ),
        (
            "another address of no matter",
            r"^for [^ ]+ from (?<address>\S+)",
            "for a from 192.0.2.1 to 198.51.100.25",
            Some(("192.0.2.1", None)),
        ),
    ];
    for (name, regex, message, want) in cases {
        let pattern = pattern(regex).unwrap_or_else(|error| panic!("{name}: {error}"));
        let read = pattern.read(b"x", message.as_bytes());
        let got = read.map(|reading| {
            let user = reading.user.map(|user| std::str::from_utf8(user).unwrap());
            (reading.address.unwrap().to_string(), user)
        });
        let want = want.map(|(address, user)| (address.to_owned(), user));
        assert_eq!(got, want, "{name}");
    }
    let latin1 = b"for \xe9 from 192.0.2.1";
    let read = pattern(r"^for [^ ]+ from (?<address>\S+)").unwrap().read(b"x", latin1);
    assert_eq!(read.unwrap().address, Some("192.0.2.1".parse().unwrap()));
}

#[test]
fn maillog_pattern_bad_ones() {
    let reach = "lets a client's text reach the address";
    let cases = [
        ("not anchored", r"failed from (?<address>\S+)", "is not anchored"),
        (
            "anchored in one alternative",
            r"^a (?<address>\S+)|b",
            "is not anchored",
        ),
        (
            "anchored to lines",
            r"(?m)^failed from (?<address>\S+)",
            "is not anchored",
        ),
        (
            "anchored after something optional",
            r"x?^from (?<address>\S+)",
            "is not anchored",
        ),
        ("no group", r"^failed from \S+", "has no group"),
        ("misspelt", r"^failed from (?<adress>\S+)", "has no group"),
        (
            "anything before",
            r"^.*from (?<address>\S+)",
            "`.*` before it can go on with `f`",
        ),
        ("anything before, lazily", r"^.*?from (?<address>\S+)", reach),
        ("something before", r"^login for .+ from (?<address>\S+)", reach),
        ("within a group", r"^login for (?<user>.+) from (?<address>\S+)", reach),
        (
            "to the end and back",
            r"^login for (?<user>.*) from (?<address>[0-9.]+)$",
            reach,
        ),
        (
            "so many bytes at most",
            r"^login for .{1,40} from (?<address>\S+)",
            reach,
        ),
        ("a class with its own end in it", r"^\S+\[(?<address>[^\]]+)\]", reach),
        (
            "a class with a line's end in it",
            "^(?u:[^&\\x0b])*> from (?<address>\\S+)",
            reach,
        ),
        ("all but brackets", r"^[^\[\]]+ from (?<address>\S+)", reach),
        ("words", r"^(?:\S+ )+from (?<address>\S+)", reach),
        ("in an alternative", r"^(?:a|b.*) from (?<address>\S+)", reach),
        ("an optional end", r"^[^ ]+(?: x)?(?:y)?\s*from (?<address>\S+)", reach),
        (
            "two, one into the other",
            r"^[a-z]+[a-z0-9]* from (?<address>\S+)",
            reach,
        ),
        ("runs into the group", r"^from [a-z0-9]*(?<address>\S+)", reach),
        (
            "nothing fixed before it",
            r"^from *(?<address>[0-9.]+)",
            "fixed text must stand between",
        ),
        (
            "optional group",
            r"^failed(?: from (?<address>\S+))?",
            "optional or repeated",
        ),
        (
            "repeated group",
            r"^failed(?: (?<address>\S+))+",
            "optional or repeated",
        ),
        (
            "one of alternatives",
            r"^failed (?:from (?<address>\S+)|here)",
            "one of several alternatives",
        ),
        ("empty group", r"^failed (?<address>[0-9.]*)", "may be empty"),
        ("not closed", r"^failed (?<address>\S+", "at character"),
        ("look behind", r"^failed (?<=x)(?<address>\S+)", "at character"),
        ("too large", r"^(?:a{1000}){1000} (?<address>\S+)", "too large"),
    ];
    for (name, regex, want) in cases {
        let error = pattern(regex).map(|_| ()).expect_err(name);
        assert!(error.contains(want), "{name}: {error}");
        assert!(!error.contains('\n'), "{name}: {error}");
    }
}

#[test]
fn maillog_pattern_program() {
    let of = |program| Pattern::new("x", program, r"^from (?<address>\S+)", Kind::AuthFailed, None).unwrap();
    let cases = [
        ("any", None, "whatever", true),
        ("the same", Some("imapd"), "imapd", true),
        ("last part", Some("imapd"), "mail/imapd", true),
        ("whole path", Some("mail/imapd"), "mail/imapd", true),
        ("another", Some("imapd"), "pop3d", false),
        ("its end", Some("imapd"), "ximapd", false),
    ];
    for (name, program, written, want) in cases {
        let read = of(program).read(written.as_bytes(), b"from 192.0.2.1");
        assert_eq!(read.is_some(), want, "{name}");
    }
}

#[test]
fn maillog_pattern_weights() {
    let of = |kind, weight| {
        Pattern::new("x", None, r"^from (?<address>\S+)", kind, weight)
            .unwrap()
            .weight
    };
    assert_eq!(of(Kind::RelayDenied, None), weight::RELAY);
    assert_eq!(of(Kind::AuthOk, None), 0);
    assert_eq!(of(Kind::AuthFailed, Some(7)), 7);
}

/// Compiled once: that takes longer than all else here.
static FORMS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    [
        r"^for (?<user>[^ ]+) from (?<address>\S+)",
        r"^for <(?<user>[^>]*)> from (?<address>\S+)",
        r"^(?<user>\S+) \[(?<address>[^\]]+)\]",
        r"^(?:user (?<user>[^ ]+) )?from (?<address>\S+)",
        r"^from (?<address>\S+) for (?<user>.*)",
    ]
    .map(|regex| pattern(regex).unwrap())
    .into()
});

proptest! {
    /// Whatever the user's name is, and whatever stands behind.
    #[test]
    fn maillog_pattern_blames_nobody_else(
        user in prop::collection::vec(prop::sample::select(&[" from ", "198.51.100.7", "a", " ", "[", "]", "> ", "<", "from 198.51.100.7"][..]), 0..8),
        rest in prop::collection::vec(prop::sample::select(&[" from ", "198.51.100.7", "a", " ", "[198.51.100.7]", "> "][..]), 0..8),
    ) {
        let (user, rest) = (user.concat(), rest.concat());
        let forms = [
            format!("for {user} from 192.0.2.1 {rest}"),
            format!("for <{user}> from 192.0.2.1 {rest}"),
            format!("{user} [192.0.2.1] {rest}"),
            format!("user {user} from 192.0.2.1 {rest}"),
            format!("from 192.0.2.1 for {user}{rest}"),
        ];
        for (form, message) in FORMS.iter().zip(forms) {
            if let Some(reading) = form.read(b"x", message.as_bytes()) {
                prop_assert_eq!(reading.address, Some("192.0.2.1".parse().unwrap()), "{}", message);
            }
        }
    }
}
