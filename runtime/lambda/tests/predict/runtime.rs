//! Lambda's side of the runtime interface, one invocation at a time over plain HTTP: the function asks for the next invocation and
//! posts its answer. Every connection carries one request.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use serde_json::Value;

/// A function's process, and where it asks for work.
pub(crate) struct Function {
    child: Child,
    listener: TcpListener,
    invocations: u32,
}

/// The function's program, without any settings.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-predict"));
    for name in ["TIDEMILL_STORE", "TIDEMILL_CONFIG", "AWS_LAMBDA_RUNTIME_API"] {
        command.env_remove(name);
    }
    command
}

struct Asked {
    path: String,
    body: Vec<u8>,
    stream: TcpStream,
}

impl Function {
    /// Starts it as Lambda does.
    pub(crate) fn start(store: &Path, config: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let child = command()
            .env("TIDEMILL_STORE", store)
            .env("TIDEMILL_CONFIG", config.to_string())
            .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "predict")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .spawn()
            .unwrap();
        Self {
            child,
            listener,
            invocations: 0,
        }
    }

    /// Hands a payload over and waits for the answer to it.
    pub(crate) fn invoke(&mut self, payload: &Value) -> Value {
        self.invocations += 1;
        let id = format!("invocation-{}", self.invocations);
        loop {
            let mut asked = self.accept();
            if asked.path.ends_with("/invocation/next") {
                let headers = format!(
                    "lambda-runtime-aws-request-id: {id}\r\nlambda-runtime-deadline-ms: 4000000000000\r\n\
                     lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-2:123456789012:function:predict\r\n\
                     lambda-runtime-trace-id: Root=1-5eb33c07-de25b420912dee103a5db434\r\ncontent-type: application/json\r\n"
                );
                asked.reply("200 OK", &headers, payload.to_string().as_bytes());
                continue;
            }
            asked.reply("202 Accepted", "", b"{}");
            assert_eq!(
                asked.path,
                format!("/2018-06-01/runtime/invocation/{id}/response"),
                "{}",
                String::from_utf8_lossy(&asked.body)
            );
            return serde_json::from_slice(&asked.body).unwrap();
        }
    }

    fn accept(&mut self) -> Asked {
        for _ in 0..6000 {
            match self.listener.accept() {
                Ok((stream, _)) => return Asked::read(stream),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the function ended: {ended:?}");
        }
        panic!("the function asked for nothing within a minute");
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Asked {
    fn read(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_ascii_lowercase()
        };
        let path = line().split(' ').nth(1).unwrap_or_default().to_owned();
        let headers: Vec<String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
        let length = headers.iter().find_map(|header| header.strip_prefix("content-length:"));
        assert!(
            !headers.iter().any(|header| header.starts_with("transfer-encoding:")),
            "{headers:?}"
        );
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        Self { path, body, stream }
    }

    fn reply(&mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        self.stream
            .write_all(head.as_bytes())
            .and_then(|()| self.stream.write_all(body))
            .unwrap();
    }
}
