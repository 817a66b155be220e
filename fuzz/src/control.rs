//! Any line as a request of the control socket, and as a daemon's answer: what is understood is written again as what
//! means the same.

use smtpgate::daemon::protocol::{Answer, Envelope, VERSION, read};

/// See the module.
pub(crate) fn run(input: &[u8]) {
    if let Ok(asked) = read(input) {
        let envelope = Envelope {
            v: VERSION,
            asked: asked.clone(),
        };
        let written = serde_json::to_string(&envelope).expect("a request can be written");
        assert!(!written.contains('\n'), "a request is one line");
        let again = read(written.as_bytes()).expect("a written request is one");
        assert_eq!(again, asked);
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(input) {
        let written = serde_json::to_string(&answer).expect("an answer can be written");
        assert!(!written.contains('\n'), "an answer is one line");
        serde_json::from_str::<Answer>(&written).expect("a written answer is one");
    }
}
