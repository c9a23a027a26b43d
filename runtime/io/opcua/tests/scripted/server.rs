//! A server that does exactly what a test says, and nothing else: frames without security, written by hand.

#![expect(clippy::unwrap_used, reason = "a server that cannot go on fails its test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use opcua_types::{
    ApplicationDescription, BinaryEncodable, ChannelSecurityToken, ContextOwned, EndpointDescription,
    GetEndpointsResponse, MessageInfo, MessageSecurityMode, NodeId, OpenSecureChannelResponse, ResponseHeader,
    UserTokenPolicy,
};

pub(crate) const POLICY_NONE: &str = "http://opcfoundation.org/UA/SecurityPolicy#None";
pub(crate) const APPLICATION_URI: &str = "urn:scripted";

/// Accepts connections and hands each to the script; ends with it.
pub(crate) fn serve(script: impl FnOnce(&mut Peer) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut peer = Peer { listener, stream: None, sequence: 0 };
        script(&mut peer);
    });
    (address, thread)
}

/// What the script sees of the client.
pub(crate) struct Peer {
    listener: TcpListener,
    stream: Option<TcpStream>,
    sequence: u32,
}

impl Peer {
    /// Takes the next connection, and ends the one before.
    pub(crate) fn accept(&mut self) {
        self.stream = Some(self.listener.accept().unwrap().0);
        self.sequence = 0;
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The next frame of the client; `None` when it has gone.
    pub(crate) fn read(&mut self) -> Option<Vec<u8>> {
        let stream = self.stream.as_mut().unwrap();
        let mut frame = vec![0; 8];
        stream.read_exact(&mut frame).ok()?;
        let size = usize::try_from(u32::from_le_bytes(*frame.last_chunk::<4>().unwrap())).unwrap();
        frame.resize(size, 0);
        stream.read_exact(&mut frame[8..]).ok()?;
        Some(frame)
    }

    /// The next MSG frame: its request id.
    pub(crate) fn read_request(&mut self) -> u32 {
        let frame = self.read().unwrap();
        assert_eq!(&frame[..3], b"MSG");
        u32::from_le_bytes(*frame[20..].first_chunk().unwrap())
    }

    /// Hello and OpenSecureChannel.
    pub(crate) fn open(&mut self) {
        assert_eq!(&self.read().unwrap()[..4], b"HELF");
        let fields = [0_u32, 65_536, 65_536, 0, 0];
        self.write(&frame(*b"ACKF", &fields.map(u32::to_le_bytes).concat()));
        let request = self.read().unwrap();
        assert_eq!(&request[..4], b"OPNF");
        let mut body = 1_u32.to_le_bytes().to_vec();
        body.extend_from_slice(&u32::try_from(POLICY_NONE.len()).unwrap().to_le_bytes());
        body.extend_from_slice(POLICY_NONE.as_bytes());
        body.extend_from_slice(&[0xFF; 8]);
        self.sequence += 1;
        body.extend_from_slice(&self.sequence.to_le_bytes());
        body.extend_from_slice(&1_u32.to_le_bytes());
        let token = ChannelSecurityToken {
            channel_id: 1,
            token_id: 1,
            revised_lifetime: 3_600_000,
            ..ChannelSecurityToken::default()
        };
        let response = OpenSecureChannelResponse {
            response_header: ResponseHeader::new_good(1),
            security_token: token,
            ..OpenSecureChannelResponse::default()
        };
        body.extend_from_slice(&encoded(&response));
        self.write(&frame(*b"OPNF", &body));
    }

    /// Answers a request.
    pub(crate) fn answer<T: BinaryEncodable + MessageInfo>(&mut self, request_id: u32, response: &T) {
        let body = encoded(response);
        self.write_chunk(*b"MSGF", request_id, &body);
    }

    pub(crate) fn write_chunk(&mut self, kind: [u8; 4], request_id: u32, body: &[u8]) {
        self.sequence += 1;
        let mut bytes = [1_u32, 1, self.sequence, request_id].map(u32::to_le_bytes).concat();
        bytes.extend_from_slice(body);
        self.write(&frame(kind, &bytes));
    }

    /// Plays a server up to the point where the client is connected.
    pub(crate) fn connect(&mut self) {
        self.accept();
        self.open();
        let request_id = self.read_request();
        let endpoint = EndpointDescription {
            endpoint_url: "opc.tcp://elsewhere:4840/path".into(),
            server: ApplicationDescription {
                application_uri: APPLICATION_URI.into(),
                ..ApplicationDescription::default()
            },
            security_mode: MessageSecurityMode::None,
            security_policy_uri: POLICY_NONE.into(),
            user_identity_tokens: Some(vec![UserTokenPolicy {
                policy_id: "anonymous".into(),
                ..UserTokenPolicy::default()
            }]),
            ..EndpointDescription::default()
        };
        let response =
            GetEndpointsResponse { response_header: ResponseHeader::new_good(2), endpoints: Some(vec![endpoint]) };
        self.answer(request_id, &response);
        assert_eq!(&self.read().unwrap()[..3], b"CLO");
        self.accept();
        self.open();
    }
}

fn encoded<T: BinaryEncodable + MessageInfo>(response: &T) -> Vec<u8> {
    let context = ContextOwned::default();
    let mut body = Vec::new();
    NodeId::from(response.type_id()).encode(&mut body, &context.context()).unwrap();
    response.encode(&mut body, &context.context()).unwrap();
    body
}

/// A frame of any kind.
pub(crate) fn frame(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend_from_slice(&u32::try_from(8 + body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}
