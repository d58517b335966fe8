//! A PROXY protocol header before TLS.

use core::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::case::{simple, start};
use crate::support::QUESTION;
use crate::support::client::Client;
use crate::support::https::{Tls, VERSIONS};
use crate::support::outputs::field;
use crate::support::pki::Authority;

const MESH: &str = "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {defaultConfig: {gatewayTopology: {proxyProtocol: {}}}}
";

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r\n";

fn v2() -> Vec<u8> {
    let ends = [192, 0, 2, 1, 198, 51, 100, 1, 0xc8, 0x22, 1, 187];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &ends[..]].concat()
}

/// A stream whose first write carries a header before what TLS writes, in pieces of a size.
mod behind {
    use core::pin::Pin;
    use core::task::{Context, Poll};
    use std::io::Result;

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::TcpStream;

    pub(super) struct Header {
        pub(super) stream: TcpStream,
        pub(super) bytes: Vec<u8>,
    }

    impl AsyncRead for Header {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.stream).poll_read(cx, out)
        }
    }

    impl AsyncWrite for Header {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            if self.bytes.is_empty() {
                return Pin::new(&mut self.stream).poll_write(cx, bytes);
            }
            let header = core::mem::take(&mut self.bytes);
            let all = [&header, bytes].concat();
            let sent = Pin::new(&mut self.stream).poll_write(cx, &all);
            assert!(matches!(sent, Poll::Ready(Ok(sent)) if sent == all.len()), "a segment");
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }
}

#[tokio::test]
async fn header_names_the_client_and_tls_follows() {
    let ca = Authority::new();
    let bed = start(simple(&ca.issue("a.test", 1)).file("mesh.yaml", MESH)).await;
    let connect = || async {
        let stream = TcpStream::connect(bed.gateway.https).await.expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream
    };
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], None);
        for header in [V1.to_vec(), v2()] {
            let (stream, bytes) = (connect().await, header.clone());
            let together = tls
                .over(behind::Header { stream, bytes }, "a.test")
                .await
                .expect("a handshake");
            assert_eq!(Client::over(together).ask("a.test", QUESTION).await.status, 200);

            let mut stream = connect().await;
            for piece in header.chunks(5) {
                stream.write_all(piece).await.expect("sending");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let torn = tls.over(stream, "a.test").await.expect("a handshake");
            assert_eq!(Client::over(torn).ask("a.test", QUESTION).await.status, 200);
        }
    }
    for line in bed.gateway.log_of(8).await {
        assert_eq!(field(&line, "downstream_remote_address"), "192.0.2.1:51234", "{line}");
        assert_eq!(field(&line, "requested_server_name"), "a.test", "{line}");
    }
    assert!(
        Tls::new(&ca).connect(bed.gateway.https, "a.test").await.is_err(),
        "without a header"
    );
}
