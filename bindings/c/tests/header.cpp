// The header in C++17: types own handles as C++ programs have them do.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <gpve.h>

namespace {
template <auto Free> struct By {
    template <typename T> void operator()(T *handle) const { Free(handle); }
};
using Error = std::unique_ptr<gpve_error, By<gpve_error_free>>;
using Node = std::unique_ptr<gpve_node, By<gpve_node_free>>;
using Client = std::unique_ptr<gpve_client, By<gpve_client_free>>;
using Machines = std::unique_ptr<gpve_machines, By<gpve_machines_free>>;
using Text = std::unique_ptr<char, By<gpve_string_free>>;

// Calls with a place for a result and one for an error.
template <typename Owner, typename Call> Owner made(Call call) {
    typename Owner::pointer result = nullptr;
    gpve_error *error = nullptr;
    if (call(&result, &error) != GPVE_STATUS_OK) {
        Error owned(error);
        std::printf("FAIL c++: %s\n", owned->message);
        std::exit(1);
    }
    return Owner(result);
}
} // namespace

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    const std::string options = std::string("{\"directory\": \"") + argv[1] + "\", \"simulated\": true}";
    const auto node = made<Node>([&](auto out, auto error) { return gpve_node_open(options.c_str(), out, error); });
    const auto client = made<Client>([&](auto out, auto error) { return gpve_node_client(node.get(), out, error); });
    const auto machines = made<Machines>([&](auto out, auto error) { return gpve_client_machines(client.get(), "default", out, error); });
    const auto list = made<Text>([&](auto out, auto error) { return gpve_machines_list(machines.get(), nullptr, out, error); });
    const bool good = std::string(list.get()).find("\"items\"") != std::string::npos && gpve_abi_check(GPVE_ABI_VERSION);
    std::printf(good ? "PASS c++ uses the header\n" : "FAIL c++ uses the header: an unexpected list\n");
    return good ? 0 : 1;
}
