//! The mail server, as a stock client and as a line-by-line one meet it.

use lettre::message::MultiPart;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{World, eventually, page};

fn transport(world: &World) -> AsyncSmtpTransport<Tokio1Executor> {
    let address = world.simulator.smtp();
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .timeout(Some(std::time::Duration::from_secs(5)))
        .build()
}

fn message(to: &str, text: &str) -> Message {
    Message::builder()
        .from("Platform <no-reply@platform.example>".parse().unwrap())
        .to(to.parse().unwrap())
        .subject("Zahlung über 10,00 €")
        .message_id(Some("<ntf_1@platform.example>".to_owned()))
        .multipart(MultiPart::alternative_plain_html(
            text.to_owned(),
            "<p>paid <b>10.00</b></p>".to_owned(),
        ))
        .unwrap()
}

async fn messages(world: &World, query: &str) -> Vec<Value> {
    world.control(&format!("/control/mail{query}")).await["messages"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_message_is_kept_as_it_was_meant_and_shown() {
    let world = World::start().await;
    let text = ".a line that begins with a dot\r\n..two\r\nGrüße\r\n";
    transport(&world)
        .send(message("Ann <Ann@Example.com>", text))
        .await
        .unwrap();

    let found = messages(&world, "?to=ann@example.com").await;

    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["message_id"], "ntf_1@platform.example");
    assert_eq!(found[0]["subject"], "Zahlung über 10,00 €");
    assert_eq!(found[0]["from"], "no-reply@platform.example");
    assert_eq!(
        found[0]["text"].as_str().unwrap().trim_end(),
        text.trim_end(),
        "dots are unstuffed"
    );
    assert!(found[0]["html"].as_str().unwrap().contains("<b>10.00</b>"));
    let list = page(world.client.get(world.url("/mail")).send().await.unwrap()).await;
    assert!(list.contains("ann@example.com") && list.contains("/mail/1"));
    let shown = page(world.client.get(world.url("/mail/1")).send().await.unwrap()).await;
    assert!(shown.contains("Grüße") && shown.contains("sandbox"), "{shown}");
    assert!(
        !shown.contains("<b>10.00</b>"),
        "a mail's HTML stays in its frame"
    );
}

#[tokio::test]
async fn duplicates_are_kept_in_arrival_order() {
    let world = World::start().await;
    for text in ["first", "second"] {
        transport(&world)
            .send(message("a@example.com", text))
            .await
            .unwrap();
    }
    transport(&world)
        .send(message("b@example.com", "other"))
        .await
        .unwrap();

    let found = messages(&world, "?message_id=<ntf_1@platform.example>").await;

    let texts: Vec<_> = found
        .iter()
        .map(|message| message["text"].as_str().unwrap().trim())
        .collect();
    assert_eq!(texts, ["first", "second", "other"]);
    assert_eq!(messages(&world, "?to=b@example.com").await.len(), 1);
    world.order("/control/reset", json!({ "mail": true })).await;
    assert!(messages(&world, "").await.is_empty());
}

#[tokio::test]
async fn mail_is_refused_for_good_or_for_now_as_often_as_ordered() {
    let world = World::start().await;
    for (mode, permanent) in [("reject", true), ("defer", false)] {
        world
            .order("/control/mail", json!({ "mode": mode, "count": 1 }))
            .await;
        let error = transport(&world)
            .send(message("a@example.com", "x"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.is_permanent(), error.is_transient()),
            (permanent, !permanent),
            "{mode}"
        );
    }
    assert!(messages(&world, "").await.is_empty());
    transport(&world)
        .send(message("a@example.com", "x"))
        .await
        .unwrap();
    assert_eq!(messages(&world, "").await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_a_message_that_was_kept() {
    let world = World::start().await;
    world
        .order("/control/mail", json!({ "mode": "drop_answer", "count": 1 }))
        .await;

    let error = transport(&world)
        .send(message("a@example.com", "x"))
        .await
        .unwrap_err();

    assert!(
        !error.is_permanent() && !error.is_transient(),
        "no reply came: {error}"
    );
    assert_eq!(messages(&world, "").await.len(), 1);
    transport(&world)
        .send(message("a@example.com", "x"))
        .await
        .unwrap();
    assert_eq!(messages(&world, "").await.len(), 2, "the repeat is seen");
}

#[tokio::test]
async fn a_server_that_is_down_refuses_connections_until_it_is_back() {
    let world = World::start().await;
    let mut open = Conversation::begin(&world).await;
    world.order("/control/mail", json!({ "mode": "down" })).await;

    eventually("connections are refused", async || {
        TcpStream::connect(world.simulator.smtp()).await.is_err()
    })
    .await;
    assert_eq!(open.rest().await, "", "an open conversation is cut");

    world.order("/control/mail", json!({ "mode": "normal" })).await;
    eventually("mail is taken again", async || {
        transport(&world)
            .send(message("a@example.com", "x"))
            .await
            .is_ok()
    })
    .await;
}

struct Conversation(BufReader<TcpStream>);

impl Conversation {
    async fn begin(world: &World) -> Self {
        let mut conversation = Self(BufReader::new(
            TcpStream::connect(world.simulator.smtp()).await.unwrap(),
        ));
        assert!(conversation.reply().await.starts_with("220 "));
        conversation
    }

    async fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn say(&mut self, line: &str) -> String {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .unwrap();
        self.reply().await
    }

    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let _ = self.0.read_to_string(&mut rest).await;
        rest
    }
}

#[tokio::test]
async fn the_conversation_keeps_to_the_protocol() {
    let world = World::start().await;
    let mut smtp = Conversation::begin(&world).await;
    for (line, code) in [
        ("DATA", "503"),
        ("RCPT TO:<a@b>", "503"),
        ("HELO me", "250"),
        ("MAIL FROM:a@b", "501"),
        ("MAIL FROM:<a@b> SIZE=99999999", "552"),
        ("MAIL FROM:<a@b> SIZE=10", "250"),
        ("RCPT TO:<>", "501"),
        ("RCPT TO:<c@d>", "250"),
        ("RSET", "250"),
        ("DATA", "503"),
        ("NOOP", "250"),
        ("VRFY a", "502"),
        ("mail from:<a@b>", "250"),
        ("rcpt to:<c@d>", "250"),
        ("DATA", "354"),
        ("Subject: hi\r\n\r\nbody\r\n..\r\n.", "250"),
        ("QUIT", "221"),
    ] {
        let reply = smtp.say(line).await;
        assert!(reply.starts_with(code), "{line} → {reply}");
    }
    let kept = messages(&world, "").await;
    assert_eq!(
        (kept.len(), kept[0]["text"].as_str().unwrap().trim()),
        (1, "body\r\n.")
    );
}

#[tokio::test]
async fn too_large_a_message_is_refused_and_the_conversation_goes_on() {
    let world = World::start().await;
    let mut smtp = Conversation::begin(&world).await;
    for line in ["HELO me", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"] {
        smtp.say(line).await;
    }
    let line = "x".repeat(1000);
    for _ in 0..1100 {
        smtp.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .unwrap();
    }
    assert!(smtp.say(".").await.starts_with("552"));
    assert!(smtp.say("NOOP").await.starts_with("250"));
    assert!(smtp.say(&"y".repeat(40_000)).await.starts_with("500"));
    assert!(smtp.say("NOOP").await.starts_with("250"));
    assert!(messages(&world, "").await.is_empty());
}
