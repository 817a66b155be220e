//! `docs/performance.md`, from the figures. Its words about method stand in `method.md` beside this file.

use std::fmt::Write as _;

use super::figures::{FILTERS, Figure, Figures, Size, number};

const METHOD: &str = include_str!("method.md");

/// The main table, for the terminal.
pub(super) fn summary(figures: &Figures) -> String {
    costs(figures) + "\n" + &growth(figures)
}

/// The whole page.
pub(super) fn page(figures: &Figures) -> String {
    let (prefixes, bans) = figures.base();
    let mut page = format!(
        "# Performance\n\n\
         What a refused SYN costs, beside what else a mail host could use, on {}.\n\
         One command repeats all of it: `cargo xtask bench --peers --write`.\n\n\
         ## {} allowed prefixes, {} bans\n\n",
        machine(figures),
        number(prefixes as f64),
        number(bans as f64)
    );
    page += &costs(figures);
    page += "\nMedian (least–most). One core: processor time for a SYN, with everything that the kernel does for a frame. Over the \
             link: what the receiving thread spent on one when more came than it could take.\n\n";
    page += &waits(figures);
    page += "\n## Growth\n\n![Cost of a refused SYN by size](pictures/peers-cost.svg)\n\n";
    page += &growth(figures);
    page +=
        "\n![Time to load by size](pictures/peers-load.svg)\n\n![Kernel memory by size](pictures/peers-memory.svg)\n\n";
    page += &loads(figures);
    page += "\n## Targets\n\n";
    page += &targets(figures);
    page += "\n## From log line to drop\n\n";
    for line in figures.at("/daemon").as_array().into_iter().flatten() {
        let _ = writeln!(page, "- {}", line.as_str().unwrap_or_default());
    }
    let _ = write!(
        page,
        "\n## A verdict, kind by kind\n\n\
         The built-in table's Japan, and 100,000 listed Japanese addresses; nanoseconds above a bare drop.\n\n```\n{}```\n\n",
        figures.text("/kinds")
    );
    page += &METHOD
        .replace("{repeats}", &figures.at("/repeats").to_string())
        .replace("{nftables}", figures.text("/machine/nftables"))
        .replace("{ipset}", figures.text("/machine/ipset"))
        .replace("{iptables}", figures.text("/machine/iptables"));
    page
}

fn machine(figures: &Figures) -> String {
    let virtual_machine = if figures.at("/machine/virtual") == true {
        ", virtual machine"
    } else {
        ""
    };
    format!(
        "{} processors ({}{virtual_machine}), Linux {}",
        figures.at("/machine/processors"),
        figures.text("/machine/model"),
        figures.text("/machine/kernel")
    )
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn shown(figure: Option<Figure>) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| figure.to_string())
}

fn costs(figures: &Figures) -> String {
    let at = figures.base();
    let head = [
        "filter",
        "one core, ns a SYN",
        "Mpps a core",
        "× bare drop",
        "over the link, CPU s per million",
        "load, ms",
        "kernel MiB",
        "process MiB",
    ];
    let mebi = 1.0 / f64::from(1 << 20);
    let row = |filter: &str| {
        let of = |pointer| figures.of(filter, at, pointer);
        // What is given for programs of two instructions is the noise of the figure.
        let loaded = |figure: Option<Figure>| figure.filter(|_| !["none", "xdp-drop"].contains(&filter));
        vec![
            filter.to_owned(),
            shown(of("/one_core_ns")),
            shown(of("/one_core_ns").map(|ns| ns.inverse(1e3))),
            shown(figures.against_floor(filter, at, "/one_core_ns")),
            shown(of("/overload/cpu_ns").map(|ns| ns.times(1e-3))),
            shown(loaded(of("/load_ms"))),
            shown(loaded(of("/kernel_bytes")).map(|bytes| bytes.times(mebi))),
            shown(of("/process_bytes").map(|bytes| bytes.times(mebi))),
        ]
    };
    table(&head, FILTERS.map(row))
}

fn waits(figures: &Figures) -> String {
    let rates = figures.rates();
    let mut head = vec!["filter".to_owned()];
    for rate in &rates {
        head.push(match rate {
            0 => "no flood: p50, p99 µs".to_owned(),
            rate => format!("{} SYNs/s: p50, p99 µs; SYNs lost", number(*rate as f64)),
        });
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let row = |filter: &&str| {
        let mut row = vec![(*filter).to_owned()];
        for (at, rate) in rates.iter().enumerate() {
            let of = |name: &str| figures.of(filter, figures.base(), &format!("/latency/{at}/{name}"));
            let median = |figure: Option<Figure>| figure.map_or_else(|| "–".into(), |figure| number(figure.median));
            let mut cell = format!("{}, {}", median(of("p50_us")), median(of("p99_us")));
            if let (true, Some(lost), Some(well)) = (*rate > 0, of("lost"), of("connections")) {
                let share = lost.median * 100.0 / (lost.median + well.median).max(1.0);
                let _ = write!(cell, "; {} %", number(share));
            }
            row.push(cell);
        }
        row
    };
    let mut text =
        "A welcome client's wait, from its SYN to the greeting, while the flood arrives (the server runs on the \
                    receiving processor). A SYN that is lost is one that found the link's ring full.\n\n"
            .to_owned();
    text += &table(&head, FILTERS.iter().filter(|filter| **filter != "xdp-drop").map(row));
    text + "\n![Wait for the greeting by flood](pictures/peers-wait.svg)\n"
}

fn sized((prefixes, bans): Size) -> String {
    format!("{} / {}", number(prefixes as f64), number(bans as f64))
}

fn growth(figures: &Figures) -> String {
    let sizes = figures.sizes("smtpgate");
    let mut head = vec!["ns a SYN, one core, at prefixes / bans".to_owned()];
    head.extend(sizes.iter().copied().map(sized));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let row = |name: &str, filter: &str, pointer: &str| {
        let mut row = vec![name.to_owned()];
        row.extend(sizes.iter().map(|size| shown(figures.of(filter, *size, pointer))));
        row
    };
    let rows = [
        row("smtpgate", "smtpgate", "/one_core_ns"),
        row("smtpgate, only outside sources", "smtpgate", "/outside_ns"),
        row("smtpgate, only banned sources", "smtpgate", "/banned_ns"),
        row("nftables", "nftables", "/one_core_ns"),
        row("ipset", "ipset", "/one_core_ns"),
        row("iptables", "iptables", "/one_core_ns"),
    ];
    table(&head, rows)
}

fn loads(figures: &Figures) -> String {
    let head = ["prefixes / bans", "filter", "load, ms", "kernel MiB", "process MiB"];
    let mebi = 1.0 / f64::from(1 << 20);
    let mut rows = Vec::new();
    for size in figures.common_sizes() {
        for filter in &FILTERS[1..5] {
            let of = |pointer| figures.of(filter, size, pointer);
            if of("/load_ms").is_some() {
                rows.push(vec![
                    sized(size),
                    (*filter).to_owned(),
                    shown(of("/load_ms")),
                    shown(of("/kernel_bytes").map(|bytes| bytes.times(mebi))),
                    shown(of("/process_bytes").map(|bytes| bytes.times(mebi))),
                ]);
            }
        }
    }
    table(&head, rows)
}

fn targets(figures: &Figures) -> String {
    let head = ["what", "target", "found"];
    let (base, largest) = (figures.base(), figures.largest());
    let cost = |size| figures.of("smtpgate", size, "/one_core_ns").map(|figure| figure.median);
    let ratio = match (cost(largest), cost(base)) {
        (Some(large), Some(small)) => format!("{} ×", number(large / small)),
        _ => "–".to_owned(),
    };
    let change = |name| shown(figures.change(largest, name));
    let rows = vec![
        vec![
            format!("flood at {} against {}", sized(largest), sized(base)),
            "≤ 1.5 ×".to_owned(),
            ratio,
        ],
        vec![
            "one ban into the kernel's maps, at the largest size, µs".to_owned(),
            "≤ 50".to_owned(),
            change("ban_us"),
        ],
        vec!["its end, µs".to_owned(), "≤ 50".to_owned(), change("unban_us")],
        vec![
            format!(
                "{} changed prefixes into the kernel's maps, at the largest size, ms",
                figures
                    .change(largest, "changed_prefixes")
                    .map_or_else(|| "–".into(), |figure| number(figure.median))
            ),
            "≤ 50".to_owned(),
            change("apply_ms"),
        ],
        vec![
            "… before it: finding the difference, ms".to_owned(),
            "–".to_owned(),
            change("plan_ms"),
        ],
        vec![
            "… before that: compiling the whole policy, ms".to_owned(),
            "–".to_owned(),
            change("compile_ms"),
        ],
    ];
    table(&head, rows)
}
