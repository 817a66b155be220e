//! The report's words in each language, and how its readers write numbers and times.

use jiff::{Timestamp, tz::TimeZone};

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// English.
    En,
    /// Japanese.
    Ja,
}

impl Language {
    /// For `lang=`: it chooses the shapes of the characters that Chinese and Japanese share.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ja => "ja",
        }
    }

    /// Its words.
    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::En => &EN,
            Self::Ja => &JA,
        }
    }

    /// To the minute.
    pub(super) fn time(self, time: Timestamp, zone: &TimeZone) -> String {
        let format = match self {
            Self::En => "%-d %b %Y, %H:%M",
            Self::Ja => "%Y年%-m月%-d日 %H:%M",
        };
        zone.to_datetime(time).strftime(format).to_string()
    }

    /// To the minute, where the year is plain.
    pub(super) fn short_time(self, time: Timestamp, zone: &TimeZone) -> String {
        let format = match self {
            Self::En => "%-d %b %H:%M",
            Self::Ja => "%-m/%-d %H:%M",
        };
        zone.to_datetime(time).strftime(format).to_string()
    }

    /// A day, where the year is plain.
    pub(super) fn day(self, time: Timestamp, zone: &TimeZone) -> String {
        let format = match self {
            Self::En => "%-d %b",
            Self::Ja => "%-m/%-d",
        };
        zone.to_datetime(time).strftime(format).to_string()
    }

    /// The zone that all times are in.
    pub(super) fn zone(self, zone: &TimeZone, at: Timestamp) -> String {
        let offset = at.to_zoned_datetime(zone.clone()).strftime("UTC%:z").to_string();
        match (zone.iana_name(), self) {
            (None | Some("UTC" | "Etc/UTC"), _) if zone.to_offset(at).is_zero() => "UTC".to_owned(),
            (None, _) => offset,
            (Some(name), Self::En) => format!("{name} ({offset})"),
            (Some(name), Self::Ja) => format!("{name}、{offset}"),
        }
    }

    /// A length of time in its largest whole unit.
    pub(super) fn length(self, seconds: i64) -> String {
        let (number, unit) = match seconds {
            s if s % 86_400 == 0 => (s / 86_400, ("day", "日")),
            s if s % 3_600 == 0 => (s / 3_600, ("hour", "時間")),
            s => (s / 60, ("minute", "分")),
        };
        match self {
            Self::En if number == 1 => unit.0.to_owned(),
            Self::En => format!("{number} {}s", unit.0),
            Self::Ja => format!("{number}{}", unit.1),
        }
    }
}

/// Every text of the page. `{}` are filled in order, `{0}` by number.
pub(super) struct Words {
    pub(super) report: &'static str,
    pub(super) enforcing: &'static str,
    pub(super) observing: &'static str,
    pub(super) mixed: &'static str,
    pub(super) not_enforcing: &'static str,
    pub(super) not_enforcing_note: &'static str,
    pub(super) observing_note: &'static str,
    pub(super) mixed_note: &'static str,
    pub(super) refused: &'static str,
    pub(super) would_refuse: &'static str,
    pub(super) let_in: &'static str,
    pub(super) packets: &'static str,
    pub(super) refused_tile: &'static str,
    pub(super) refused_what: &'static str,
    pub(super) would_tile: &'static str,
    pub(super) would_what: &'static str,
    pub(super) spared_tile: &'static str,
    pub(super) spared_what: &'static str,
    pub(super) bans_tile: &'static str,
    pub(super) bans_what: &'static str,
    pub(super) offences_tile: &'static str,
    pub(super) offences_what: &'static str,
    pub(super) offences_since: &'static str,
    pub(super) over_time: &'static str,
    pub(super) every: &'static str,
    pub(super) peak: &'static str,
    pub(super) nothing_refused: &'static str,
    pub(super) reasons: &'static str,
    pub(super) reason: &'static str,
    pub(super) gates: &'static str,
    pub(super) gate: &'static str,
    pub(super) no_gate: &'static str,
    pub(super) countries: &'static str,
    pub(super) country: &'static str,
    pub(super) unknown: &'static str,
    pub(super) seen: &'static str,
    pub(super) share: &'static str,
    pub(super) none_refused: &'static str,
    pub(super) all_seen: &'static str,
    pub(super) sampled: &'static str,
    pub(super) no_source: &'static str,
    pub(super) more_countries: &'static str,
    pub(super) map_label: &'static str,
    pub(super) networks: &'static str,
    pub(super) networks_what: &'static str,
    pub(super) network: &'static str,
    pub(super) accounts: &'static str,
    pub(super) accounts_what: &'static str,
    pub(super) account: &'static str,
    pub(super) attempts: &'static str,
    pub(super) addresses: &'static str,
    pub(super) last: &'static str,
    pub(super) no_accounts: &'static str,
    pub(super) more_accounts: &'static str,
    pub(super) bans: &'static str,
    pub(super) no_bans: &'static str,
    pub(super) newest: &'static str,
    pub(super) until: &'static str,
    pub(super) until_lifted: &'static str,
    pub(super) times: &'static str,
    pub(super) no_evidence: &'static str,
    pub(super) notes: &'static str,
    pub(super) note_exact: &'static str,
    pub(super) note_sample: &'static str,
    pub(super) note_spared: &'static str,
    pub(super) note_country: &'static str,
    pub(super) note_map: &'static str,
    pub(super) made: &'static str,
}

static EN: Words = Words {
    report: "smtpgate report",
    enforcing: "Enforcing",
    observing: "Observing",
    mixed: "Partly enforcing",
    not_enforcing: "Not enforcing",
    not_enforcing_note: "Nothing is refused now: the gate is not up, or not on every interface. See why with: smtpgate status.",
    observing_note: "The gate only observes: it lets everybody in, and counts whom it would refuse.",
    mixed_note: "Some gates only observe: they let everybody in, and count whom they would refuse.",
    refused: "Refused",
    would_refuse: "Would be refused",
    let_in: "Let in",
    packets: "Packets",
    refused_tile: "Refused",
    refused_what: "SYN packets to the mail ports, of about {} connection attempts",
    would_tile: "Would have been refused",
    would_what: "let in, as a gate only observes",
    spared_tile: "Log lines spared",
    spared_what: "an estimate, on the low side",
    bans_tile: "Bans",
    bans_what: "begun in this time",
    offences_tile: "Offences in the log",
    offences_what: "failed logins and the like",
    offences_since: "known since {}",
    over_time: "Refused over time",
    every: "Packets refused every {}. Times are {}.",
    peak: "At most {}, at {}.",
    nothing_refused: "Nothing was refused in this time.",
    reasons: "Why",
    reason: "Reason",
    gates: "By gate",
    gate: "Gate",
    no_gate: "before any gate",
    countries: "Where from",
    country: "Country",
    unknown: "Unknown",
    seen: "Refusals seen",
    share: "Share",
    none_refused: "none",
    all_seen: "All refused packets, or nearly all, were looked at one by one.",
    sampled: "A sample: {} refused packets of {} were looked at one by one. Shares are shares of the sample.",
    no_source: "No source was seen.",
    more_countries: "{} more",
    map_label: "World map: refusals seen by country. The table has the same numbers.",
    networks: "Networks",
    networks_what: "IPv4 /24 and IPv6 /48, the most refused first.",
    network: "Network",
    accounts: "Accounts under attack",
    accounts_what: "Login names as the clients wrote them; they need not exist here.",
    account: "Login name",
    attempts: "Offences",
    addresses: "Addresses",
    last: "Last",
    no_accounts: "No failed login named an account.",
    more_accounts: "{} more",
    bans: "Bans and their evidence",
    no_bans: "Nobody was banned in this time.",
    newest: "The newest {} of {}.",
    until: "until {}",
    until_lifted: "until lifted",
    times: "ban no. {} of this source",
    no_evidence: "No log lines: banned by hand.",
    notes: "How these figures are made",
    note_exact: "The kernel counts each packet that a gate refuses or lets in. A client that gets no answer asks again, so one attempt is several packets.",
    note_sample: "Countries and networks are of those refusals that were looked at one by one: all while there are few, a part of them under flood.",
    note_spared: "Log lines spared: {} refused packets count as one attempt, and an attempt as {} lines (connect, disconnect). Failed logins would have written more.",
    note_country: "A country is where an address is registered, which need not be where its user is.",
    note_map: "Map: Natural Earth, borders as they are held. Names of countries: Unicode CLDR.",
    made: "Made {} by smtpgate {}.",
};

static JA: Words = Words {
    report: "smtpgate レポート",
    enforcing: "遮断中",
    observing: "監視のみ",
    mixed: "一部で遮断中",
    not_enforcing: "遮断していません",
    not_enforcing_note: "現在は遮断していません。門が置かれていないか、守られていないインターフェースがあります。理由は smtpgate status で確認できます。",
    observing_note: "監視のみ(observe)で動いています。誰も遮断せず、遮断対象を数えるだけです。",
    mixed_note: "監視のみ(observe)の門があります。そこでは誰も遮断せず、遮断対象を数えるだけです。",
    refused: "遮断",
    would_refuse: "遮断対象(監視のみ)",
    let_in: "通過",
    packets: "パケット数",
    refused_tile: "遮断した SYN パケット",
    refused_what: "メールのポートへの接続試行にして約 {} 回",
    would_tile: "遮断対象だった SYN パケット",
    would_what: "監視のみの門を通過したもの",
    spared_tile: "書かれずに済んだログ行数",
    spared_what: "少なめに見積もった推定値",
    bans_tile: "新たな ban",
    bans_what: "この期間に始まったもの",
    offences_tile: "ログで検知した不正行為",
    offences_what: "不正ログインの試行など",
    offences_since: "{} 以降の記録",
    over_time: "遮断数の推移",
    every: "{}ごとの遮断パケット数。時刻は {}。",
    peak: "最大は {}({})。",
    nothing_refused: "この期間に遮断したものはありません。",
    reasons: "遮断の理由",
    reason: "理由",
    gates: "門(gate)ごと",
    gate: "門",
    no_gate: "門の手前",
    countries: "国別の送信元",
    country: "国・地域",
    unknown: "不明",
    seen: "記録した遮断",
    share: "割合",
    none_refused: "なし",
    all_seen: "遮断したパケットのほぼすべてを個別に記録しています。",
    sampled: "サンプルです。遮断した {1} パケットのうち {0} パケットを個別に記録しました。割合はサンプル内のものです。",
    no_source: "送信元の記録はありません。",
    more_countries: "ほか {} か国・地域",
    map_label: "世界地図: 国別の遮断数。表に同じ数値があります。",
    networks: "送信元ネットワーク",
    networks_what: "IPv4 は /24、IPv6 は /48 ごと。多い順。",
    network: "ネットワーク",
    accounts: "狙われたアカウント",
    accounts_what: "ログイン名はクライアントが送ってきたもので、実在するとは限りません。",
    account: "ログイン名",
    attempts: "不正行為",
    addresses: "送信元 IP 数",
    last: "最後",
    no_accounts: "アカウント名の分かる不正ログインはありません。",
    more_accounts: "ほか {} アカウント",
    bans: "ban とその根拠",
    no_bans: "この期間に ban した送信元はありません。",
    newest: "全 {1} 件のうち、新しい {0} 件。",
    until: "{} まで",
    until_lifted: "解除するまで",
    times: "この送信元の ban は {} 回目",
    no_evidence: "ログの行はありません(手動の ban)。",
    notes: "数値の見方",
    note_exact: "遮断と通過の数は、カーネルが 1 パケットずつ数えた実数です。応答のないクライアントは再送するので、1 回の接続試行は数パケットになります。",
    note_sample: "国とネットワークの数は、個別に記録した遮断のものです。少ないうちはすべてを、大量のときは一部だけを記録します。",
    note_spared: "書かれずに済んだログ行数は、遮断 {} パケットを接続試行 1 回、1 回を {} 行(connect と disconnect)として見積もっています。ログインの失敗があれば、実際はさらに増えたはずです。",
    note_country: "国はアドレスの登録上の国で、利用者のいる国とは限りません。",
    note_map: "地図: Natural Earth(境界は実効支配による)。国名: Unicode CLDR。",
    made: "{} に smtpgate {} が作成。",
};

/// A reason code's name and meaning; a newer one's is the code itself.
pub(super) fn reason(language: Language, code: &str) -> (&str, &str) {
    match (code, language) {
        ("outside", Language::En) => ("Not allowed", "a country or network that the gate does not let in"),
        ("outside", Language::Ja) => ("許可外の送信元", "許可した国・ネットワークの外"),
        ("banned", Language::En) => ("Banned", "an address that has attacked before"),
        ("banned", Language::Ja) => ("ban 中の送信元", "攻撃を検知して遮断中のアドレス"),
        ("blocklist", Language::En) => ("On a block list", "listed in the configuration's block"),
        ("blocklist", Language::Ja) => ("ブロックリスト", "設定の block に載った送信元"),
        ("fragment", Language::En) => ("Hiding fragment", "a fragment that hides its TCP header"),
        ("fragment", Language::Ja) => ("不正なフラグメント", "TCP ヘッダーを隠す断片"),
        ("header_chain", Language::En) => (
            "Overlong headers",
            "more VLAN tags or extension headers than anyone needs",
        ),
        ("header_chain", Language::Ja) => ("過剰なヘッダー", "VLAN タグや拡張ヘッダーが多すぎるパケット"),
        _ => (code, ""),
    }
}

/// A rule's name.
pub(super) fn rule(language: Language, code: &str) -> &str {
    match (code, language) {
        ("maxretry", Language::En) => "Too many failures",
        ("maxretry", Language::Ja) => "失敗の繰り返し",
        ("slow", Language::En) => "Slow guessing",
        ("slow", Language::Ja) => "間隔を空けた総当たり",
        ("siege", Language::En) => "Siege of an account",
        ("siege", Language::Ja) => "アカウントへの集中攻撃",
        ("wide", Language::En) => "Hostile network",
        ("wide", Language::Ja) => "敵対的なネットワーク",
        ("stolen", Language::En) => "Stolen password",
        ("stolen", Language::Ja) => "盗まれたパスワード",
        ("operator", Language::En) => "By hand",
        ("operator", Language::Ja) => "手動",
        _ => code,
    }
}

/// A text with its values.
pub(super) fn fill(text: &str, values: &[&str]) -> String {
    let mut filled = text.to_owned();
    for (number, value) in values.iter().enumerate() {
        let numbered = format!("{{{number}}}");
        let hole = if filled.contains(&numbered) {
            numbered.as_str()
        } else {
            "{}"
        };
        filled = filled.replacen(hole, value, 1);
    }
    filled
}
