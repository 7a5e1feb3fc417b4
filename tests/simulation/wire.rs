//! What lies between a client and the server: bytes under way in both directions, as many as the
//! receiver's window has room for, until they arrive, are read, or are lost with the connection.
//! Nothing moves by itself; the world says what arrives when.
//!
//! ```text
//! client ─write→ [ under way | arrived ] ─receive→ server
//! client ←read── [ arrived .. window   ] ←─send─── server
//! ```

use std::collections::VecDeque;

use crate::random::Random;

pub(crate) struct Wire {
    to_server: VecDeque<u8>,
    /// How many of those have arrived.
    arrived_bytes: usize,
    /// The client has said all that it will, and the server will see that behind the last byte.
    client_ended: bool,
    end_arrived: bool,
    to_client: VecDeque<u8>,
    window_bytes: usize,
    /// What its bytes are must not matter.
    is_sealed: bool,
    /// Neither side sees anything but this from now on.
    is_reset: bool,
}

pub(crate) enum Received {
    Bytes(usize),
    Nothing,
    End,
}

impl Wire {
    pub(crate) fn new(window_bytes: usize) -> Self {
        Self {
            to_server: VecDeque::new(),
            arrived_bytes: 0,
            client_ended: false,
            end_arrived: false,
            to_client: VecDeque::new(),
            window_bytes,
            is_sealed: false,
            is_reset: false,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if !self.client_ended {
            self.to_server.extend(bytes);
        }
    }

    /// From now on it carries TLS, whose bytes are not the seed's.
    pub(crate) fn seal(&mut self) {
        self.is_sealed = true;
    }

    /// The client takes much at a time from now on.
    pub(crate) fn widen(&mut self) {
        self.window_bytes = 1 << 20;
    }

    /// The client closes its half, or goes altogether.
    pub(crate) fn end(&mut self) {
        self.client_ended = true;
    }

    pub(crate) fn reset(&mut self) {
        self.is_reset = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.client_ended || self.is_reset
    }

    /// Some of what is under way arrives; the end only when all has.
    pub(crate) fn arrive(&mut self, random: &mut Random) {
        let under_way = self.to_server.len() - self.arrived_bytes;
        self.arrived_bytes += match random.below(5) {
            _ if under_way == 0 => 0,
            // Just behind a CR, where what follows decides.
            4 if !self.is_sealed => {
                let rest = self.to_server.iter().skip(self.arrived_bytes);
                let ends = rest.enumerate().filter(|(_, byte)| **byte == b'\r');
                let ends: Vec<usize> = ends.map(|(at, _)| at + 1).take(40).collect();
                if ends.is_empty() { under_way } else { random.pick(&ends) }
            }
            0 => random.between(1, under_way.min(5)),
            1 => random.between(1, under_way),
            _ => under_way,
        };
        self.end_arrived = self.client_ended && self.arrived_bytes == self.to_server.len();
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.to_server.len() > self.arrived_bytes || self.client_ended != self.end_arrived
    }

    /// Whether the server would be woken.
    pub(crate) fn is_readable(&self) -> bool {
        self.arrived_bytes > 0 || self.end_arrived || self.is_reset
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_reset || self.room() > 0
    }

    /// Whether something is there that the server has not read, and no end behind it.
    pub(crate) fn has_spoken(&self) -> bool {
        self.arrived_bytes > 0 && !self.end_arrived && !self.is_reset
    }

    /// What has arrived, at most so much of it, goes behind what `into` holds.
    pub(crate) fn receive(&mut self, into: &mut Vec<u8>, most: usize) -> Received {
        if self.is_reset {
            return Received::End;
        }
        match most.min(self.arrived_bytes) {
            0 if self.end_arrived => Received::End,
            0 => Received::Nothing,
            bytes => {
                into.extend(self.to_server.drain(..bytes));
                self.arrived_bytes -= bytes;
                Received::Bytes(bytes)
            }
        }
    }

    /// How many of the bytes were taken; `None` if there is nobody to take them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.is_reset {
            return None;
        }
        let taken = bytes.len().min(self.room());
        self.to_client.extend(&bytes[..taken]);
        Some(taken)
    }

    pub(crate) fn is_to_be_read(&self) -> bool {
        !self.to_client.is_empty()
    }

    /// What the client reads, at most so much.
    pub(crate) fn read(&mut self, most: usize) -> Vec<u8> {
        let bytes = most.min(self.to_client.len());
        self.to_client.drain(..bytes).collect()
    }

    fn room(&self) -> usize {
        self.window_bytes.saturating_sub(self.to_client.len())
    }
}
