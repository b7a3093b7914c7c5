"""Where machines are: nodes and clients, open and closed."""

import asyncio
import pickle
from typing import Any

import gpve
import pytest
from conftest import PASSWORD, USER, small


def test_state_survives_closing(directory: str) -> None:
    node = gpve.Node(directory, simulated=True, name="here")
    assert node.closed
    with pytest.raises(gpve.PreconditionFailed):
        node.virtual_machines()
    with node:
        assert not node.closed and "open, simulated" in repr(node)
        made = node.virtual_machines("team").create_sync(small("web"))
        assert (made.namespace, made.node) == ("team", "here")
        with pytest.raises(gpve.PreconditionFailed):
            node.open_sync()
        with pytest.raises(gpve.Unavailable):
            gpve.Node(directory, simulated=True).open_sync()
    assert node.closed
    node.close_sync()
    with pytest.raises(gpve.Error):
        made.refresh_sync()

    async def again() -> None:
        async with node:
            assert (await node.virtual_machines("team").get("web")).uid == made.uid
        await node.open()
        await node.close()

    asyncio.run(again())


def test_options_of_a_node_are_checked(directory: str) -> None:
    with pytest.raises(gpve.InvalidInput) as caught:
        gpve.Node(directory, name="not a name")
    assert "name" in caught.value.fields
    with gpve.Node(directory, simulated=True, storages={"fast": directory + "/fast"}) as node:
        disk = {"name": "scsi0", "source": {"new": {"storage": "fast", "size": "64Mi"}}}
        vm = node.virtual_machines().create_sync({"metadata": {"name": "a"}, "spec": {"memory": {"size": "64Mi"}, "disks": [disk]}})
        assert vm.spec["disks"]


def test_clients_prove_who_they_are(server: Any, token: str) -> None:
    with pytest.raises(gpve.Unavailable):
        gpve.Client(server.url(), token).virtual_machines().list_sync()
    anyone = gpve.Client(server.url(), insecure=True)
    with pytest.raises(gpve.Unauthenticated):
        anyone.virtual_machines().list_sync()
    with pytest.raises(gpve.Unauthenticated):
        anyone.login_sync(USER, "wrong")
    anyone.login_sync(USER, PASSWORD)
    assert anyone.virtual_machines().list_sync() == []
    for wrong in ({"url": "example"}, {"url": "https://a", "ca_file": "/nowhere"}, {"url": "https://a", "ca_file": "/a", "insecure": True}):
        with pytest.raises(gpve.InvalidInput):
            gpve.Client(**wrong)


def test_a_server_that_is_not_there_may_come_later() -> None:
    with pytest.raises(gpve.Unavailable) as caught:
        gpve.Client("https://127.0.0.1:1", "a@b!c=d").virtual_machines().list_sync()
    assert caught.value.retry and caught.value.causes and "refused" in str(caught.value)


def test_every_kind_has_its_exception_and_travels() -> None:
    kinds = {error.kind for error in gpve.Error.__subclasses__()}
    assert len(kinds) == 14
    error = pickle.loads(pickle.dumps(gpve.NotFound("it is not there", op="vm.read", subject="vm 1", causes=["why"])))
    assert (type(error), error.op, error.subject, error.causes, error.message) == (gpve.NotFound, "vm.read", "vm 1", ["why"], "it is not there")
