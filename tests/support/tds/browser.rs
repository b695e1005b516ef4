//! SQL Server Browser: tells over UDP which TCP port a named instance has (MC-SQLR).

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::options::SERVER_NAME;

pub struct Browser {
    port: u16,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// "Tell me about this instance."
const ONE_INSTANCE: u8 = 4;
const RESPONSE: u8 = 5;

impl Browser {
    pub fn start(instance: &str, tcp_port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free UDP port");
        let port = socket.local_addr().expect("it is bound").port();
        let stopping = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopping);
        let instance = instance.to_owned();
        let thread = thread::spawn(move || {
            let mut request = [0; 1024];
            while let Ok((length, client)) = socket.recv_from(&mut request) {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let Some((&ONE_INSTANCE, name)) = request[..length].split_first() else {
                    continue;
                };
                let name = String::from_utf8_lossy(name);
                // An unknown instance gets no answer at all.
                if !name.trim_end_matches('\0').eq_ignore_ascii_case(&instance) {
                    continue;
                }
                let text = format!(
                    "ServerName;{SERVER_NAME};InstanceName;{instance};IsClustered;No;Version;15.0.2000.5;tcp;{tcp_port};;"
                );
                let mut answer = vec![RESPONSE];
                answer.extend(u16::try_from(text.len()).expect("short").to_le_bytes());
                answer.extend(text.bytes());
                let _ = socket.send_to(&answer, client);
            }
        });
        Browser {
            port,
            stopping,
            thread: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[0], (Ipv4Addr::LOCALHOST, self.port));
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the Browser does not panic");
        }
    }
}
