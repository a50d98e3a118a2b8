"""Apache Kafka with logins and rights: the user `pixlake`, and an administrator without a login."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from pixlake_server.embedded.ports import free_port
from tests.servers.kafka import ApacheKafka

PASSWORD = "right"
_SECONDS = 20


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """Addresses of both listeners: `bootstrap` needs a login, `admin` allows everything."""

    bootstrap: str
    admin: str

    def login(self, password: str = PASSWORD) -> dict[str, object]:
        """Settings of a consumer that logs in."""
        return {
            "kafka_bootstrap_servers": self.bootstrap,
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_sasl_username": "pixlake",
            "kafka_sasl_password": password,
        }

    def grant(self, kind: str, name: str, *rights: str) -> None:
        """Give the user rights, such as READ, on a TOPIC or a GROUP."""
        admin = AdminClient({"bootstrap.servers": self.admin, "log_level": 0})
        bindings = [
            AclBinding(
                ResourceType[kind],
                name,
                ResourcePatternType.LITERAL,
                "User:pixlake",
                "*",
                AclOperation[right],
                AclPermissionType.ALLOW,
            )
            for right in rights
        ]
        for future in admin.create_acls(bindings).values():
            future.result(_SECONDS)


@contextmanager
def secured_kafka() -> Iterator[SecuredKafka]:
    """Run a broker with one user, `pixlake`, whose password is `right`, and who has no rights."""
    host = "127.0.0.1"
    plain, controller, sasl = (f"{host}:{free_port()}" for _ in range(3))
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    settings = {
        "listeners": f"PLAINTEXT://{plain},CONTROLLER://{controller},SASL://{sasl}",
        "advertised.listeners": f"PLAINTEXT://{plain},SASL://{sasl}",
        "controller.quorum.voters": f"1@{controller}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'{module} required user_pixlake="{PASSWORD}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with ApacheKafka(settings, port=int(plain.split(":")[1])):
        yield SecuredKafka(sasl, plain)
