"""Connections between processes of a warren mesh. `warren.aio` has the same for asyncio."""

from ._hello import Peer, read_hello
from ._runtime_dir import agent_dir, default_source, runtime_dir
from .client import AgentClient, Stream, shared_client
from .connecting import MeshHTTPConnection, Strategy, connect, connect_datagram
from .errors import ConnectionCutError, ErrorCode, WarrenError
from .listening import MeshDatagramServer, MeshServer, listen, listen_datagram
from .registration import (
    HealthCheck,
    ListenTarget,
    Protocol,
    Registration,
    RegistrationEnd,
    Replication,
    Target,
    TcpTarget,
    UdpTarget,
    UnixTarget,
    Wait,
    register,
    wait_for_agent,
)
from .sockets import MAX_DATAGRAM_BYTES, MeshDatagramSocket, MeshSocket

__all__ = [
    "MAX_DATAGRAM_BYTES",
    "AgentClient",
    "ConnectionCutError",
    "ErrorCode",
    "HealthCheck",
    "ListenTarget",
    "MeshDatagramServer",
    "MeshDatagramSocket",
    "MeshHTTPConnection",
    "MeshServer",
    "MeshSocket",
    "Peer",
    "Protocol",
    "Registration",
    "RegistrationEnd",
    "Replication",
    "Strategy",
    "Stream",
    "Target",
    "TcpTarget",
    "UdpTarget",
    "UnixTarget",
    "Wait",
    "WarrenError",
    "agent_dir",
    "connect",
    "connect_datagram",
    "default_source",
    "listen",
    "listen_datagram",
    "read_hello",
    "register",
    "runtime_dir",
    "shared_client",
    "wait_for_agent",
]
