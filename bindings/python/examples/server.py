"""Talks to a machine of a server through its serial port: `python server.py URL TOKEN CA_FILE`.

Running
b'…hello'
InvalidInput: spec: '1Mi' is not a valid memory size: …
"""

import sys

import gpve


def main(url: str, token: str, ca_file: str) -> None:
    machines = gpve.Client(url, token, ca_file=ca_file).virtual_machines()
    document = {"metadata": {"name": "example"}, "spec": {"memory": {"size": "64Mi"}, "serials": {"0": "socket"}}}
    vm = machines.create_sync(document)
    try:
        vm.start_sync()
        print(vm.phase)
        with vm.console() as console:
            console.write_sync("hello")
            print(console.read_until_sync("hello", timeout_s=30))
        document["spec"] = {"memory": {"size": "1Mi"}}
        machines.replace_sync("example", document)
    except gpve.InvalidInput as error:
        print("%s: %s" % (type(error).__name__, error))
    finally:
        vm.delete_sync(force=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
