//! A TCP proxy in front of the broker, which can lose what passes through it.
//!
//! It reads Kafka's frames, and puts its own port into the brokers' answers wherever the broker's address stands in them, so
//! that clients stay with it.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use eventing::KafkaSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The number of the Produce request in Kafka's protocol.
const PRODUCE: [u8; 2] = [0, 0];

/// What the proxy does to the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The broker cannot be reached.
    Unreachable,
    /// Produce requests do not get to the broker.
    LoseProduceRequests,
    /// One produce request does not get to the broker; those behind it do.
    LoseOneProduceRequest,
    /// Produce requests get to the broker, and its answers do not come back.
    LoseProduceAnswers,
}

pub(crate) struct Proxy {
    address: String,
    fault: watch::Sender<Fault>,
    lost: Arc<Mutex<usize>>,
    answered: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy for the broker at the given settings.
    pub(crate) async fn start(kafka: &KafkaSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let link = Link {
            broker: kafka.brokers.split(',').next().unwrap().to_owned(),
            own_port: address.port(),
            fault: watch::Sender::new(Fault::None),
            lost: Arc::default(),
            answered: Arc::default(),
        };
        let (fault, lost) = (link.fault.clone(), Arc::clone(&link.lost));
        let answered = Arc::clone(&link.answered);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let link = link.clone();
                connections.spawn(async move { link.serve(client).await });
                while connections.try_join_next().is_some() {}
            }
        });
        let host = kafka.brokers.split(':').next().unwrap();
        Self {
            address: format!("{host}:{}", address.port()),
            fault,
            lost,
            answered,
            _accepting: accepting,
        }
    }

    /// The same settings, but through the proxy.
    pub(crate) fn settings(&self, kafka: &KafkaSettings) -> KafkaSettings {
        KafkaSettings {
            brokers: self.address.clone(),
            ..kafka.clone()
        }
    }

    /// From now on does this. Connections that lost something are closed when it changes.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many requests or answers were lost.
    pub(crate) fn lost(&self) -> usize {
        *self.lost.lock().unwrap()
    }

    /// How many bytes of answers came through.
    pub(crate) fn answered_bytes(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Link {
    broker: String,
    own_port: u16,
    fault: watch::Sender<Fault>,
    lost: Arc<Mutex<usize>>,
    answered: Arc<AtomicUsize>,
}

impl Link {
    async fn serve(self, client: TcpStream) -> io::Result<()> {
        if self.fault() == Fault::Unreachable {
            return Ok(());
        }
        let mut fault = self.fault.subscribe();
        let broker = TcpStream::connect(&self.broker).await?;
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let produces = Arc::default();
        let lost_before = self.lost_count();
        tokio::select! {
            outcome = self.requests(from_client, to_broker, Arc::clone(&produces)) => outcome,
            outcome = self.answers(from_broker, to_client, produces) => outcome,
            () = async {
                loop {
                    let _ = fault.changed().await;
                    if *fault.borrow() == Fault::Unreachable || self.lost_count() > lost_before {
                        return;
                    }
                }
            } => Ok(()),
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        produces: Arc<Mutex<HashSet<[u8; 4]>>>,
    ) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut from).await?;
            // Length, then the request's number, its version, and the id that the answer repeats.
            if frame[4..6] == PRODUCE {
                produces.lock().unwrap().insert(frame[8..12].try_into().unwrap());
                let loses_one = self.fault() == Fault::LoseOneProduceRequest && self.lost_count() == 0;
                if loses_one || self.fault() == Fault::LoseProduceRequests {
                    *self.lost.lock().unwrap() += 1;
                    continue;
                }
            }
            to.write_all(&frame).await?;
        }
    }

    async fn answers(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        produces: Arc<Mutex<HashSet<[u8; 4]>>>,
    ) -> io::Result<()> {
        loop {
            let mut frame = read_frame(&mut from).await?;
            let answers_produce = produces.lock().unwrap().remove(&frame[4..8]);
            if answers_produce && self.fault() == Fault::LoseProduceAnswers {
                *self.lost.lock().unwrap() += 1;
                continue;
            }
            self.answered.fetch_add(frame.len(), Ordering::SeqCst);
            self.replace_address(&mut frame);
            to.write_all(&frame).await?;
        }
    }

    /// Replaces the broker's port by our own wherever it follows the broker's host.
    fn replace_address(&self, frame: &mut [u8]) {
        let (host, port) = self.broker.split_once(':').unwrap();
        let port: u32 = port.parse().unwrap();
        let address = [host.as_bytes(), &port.to_be_bytes()].concat();
        for start in 0..(frame.len() + 1).saturating_sub(address.len()) {
            let end = start + address.len();
            if frame[start..end] == address {
                frame[end - 4..end].copy_from_slice(&u32::from(self.own_port).to_be_bytes());
            }
        }
    }

    fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    fn lost_count(&self) -> usize {
        *self.lost.lock().unwrap()
    }
}

/// A whole frame, its length included.
async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}
