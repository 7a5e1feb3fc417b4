//! A client of HTTP: lists, reads and deletes mail, one request at a time, and holds the answers
//! against the model. Not here: when it gets to speak or to read (`world`).

use std::collections::VecDeque;
use std::rc::Rc;

use mailfly::store::MessageId;

use crate::mail::{Mail, NAMES};
use crate::model::{Deeds, Model};
use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    List(&'static str),
    Source(&'static str, MessageId),
    Delete(&'static str, MessageId),
    Purge(&'static str),
    Nonsense,
}

/// What has to be in the body of a response.
enum Content {
    Anything,
    EndsWith(Rc<Mail>),
}

pub(crate) struct Reader {
    requests_left: usize,
    waiting: Option<Request>,
    /// What was promised, which the client has not read wholly.
    due: VecDeque<Content>,
    heard: Vec<u8>,
    pub(crate) is_dismissed: bool,
}

impl Reader {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            requests_left: random.between(1, 12),
            waiting: None,
            due: VecDeque::new(),
            heard: vec![],
            is_dismissed: false,
        }
    }

    /// The next request, if the last one was answered.
    pub(crate) fn speak(&mut self, random: &mut Random, model: &Model) -> Vec<u8> {
        if self.waiting.is_some() || !self.due.is_empty() || self.requests_left == 0 {
            return vec![];
        }
        self.requests_left -= 1;
        let name = NAMES[random.below(NAMES.len())];
        let mail = model.list(name);
        let one = (!mail.is_empty()).then(|| mail[random.below(mail.len())].0);
        let request = match (random.below(12), one) {
            (0, _) => Request::Nonsense,
            (1, _) => Request::Purge(name),
            (2..5, Some(id)) => Request::Delete(name, id),
            (5..11, Some(id)) => Request::Source(name, id),
            _ => Request::List(name),
        };
        self.waiting = Some(request);
        let (method, path) = match request {
            Request::List(name) => ("GET", format!("/api/v1/mailbox/{name}")),
            Request::Source(name, id) => ("GET", format!("/api/v1/mailbox/{name}/{id}/source")),
            Request::Delete(name, id) => ("DELETE", format!("/api/v1/mailbox/{name}/{id}")),
            Request::Purge(name) => ("DELETE", format!("/api/v1/mailbox/{name}")),
            Request::Nonsense => return b"\0what? ever\r\n\r\n".to_vec(),
        };
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
    }

    pub(crate) fn has_said_all(&self) -> bool {
        self.requests_left == 0
    }

    pub(crate) fn has_all_answers(&self) -> bool {
        self.waiting.is_none()
    }

    /// The server has made its response, of which this is the beginning at least.
    pub(crate) fn answered(&mut self, response: &[u8], model: &Model, deeds: &mut Deeds) {
        let request = self.waiting.take().expect("somebody asked");
        let status = response.get(9..12).and_then(|code| str::from_utf8(code).ok());
        let status: u16 = status.and_then(|code| code.parse().ok()).expect("a status");
        let find = |name: &str, id| model.list(name).into_iter().find(|(other, _)| *other == id);
        let mut content = Content::Anything;
        match request {
            // Too many responses are held: nothing was done.
            Request::Source(..) | Request::List(_) if status == 503 => {}
            Request::List(_) => assert_eq!(status, 200),
            Request::Source(name, id) => match find(name, id) {
                Some((_, mail)) => {
                    assert_eq!(status, 200, "{id} is there");
                    content = Content::EndsWith(mail);
                }
                None => assert_eq!(status, 410, "{id} is gone"),
            },
            Request::Delete(name, id) => match find(name, id) {
                Some(_) => {
                    assert!((200..300).contains(&status), "{id} is there, and {status}");
                    deeds.deleted.push(id);
                }
                None => assert_eq!(status, 410, "{id} is gone"),
            },
            Request::Purge(name) => {
                assert!((200..300).contains(&status), "{status}");
                deeds.purged = Some(name);
            }
            Request::Nonsense => {
                assert_eq!(status, 400);
                self.is_dismissed = true;
            }
        }
        self.due.push_back(content);
    }

    /// The client reads.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        while let Some(content) = self.due.front() {
            let Some(end) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") else {
                break;
            };
            let head = str::from_utf8(&self.heard[..end]).expect("a head is text").to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            let Some(body) = self.heard.get(end + 4..end + 4 + length) else { break };
            if let Content::EndsWith(mail) = content {
                assert!(body.ends_with(&mail.body), "a source ends with what was sent");
            }
            self.heard.drain(..end + 4 + length);
            self.due.pop_front();
        }
    }
}
