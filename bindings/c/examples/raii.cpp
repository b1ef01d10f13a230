// A C++ program that registers itself, leads if it can, and works under a lock.
//   c++ -std=c++17 raii.cpp $(pkg-config --cflags --libs quorate) && ./a.out 127.0.0.1:2379
#include <quorate.hpp>

#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char **argv) {
  try {
    quorate::Options options;
    options.endpoints = {argc > 1 ? argv[1] : "127.0.0.1:2379"};
    quorate::Client client(options);

    quorate::InstanceOptions instance;
    instance.weight = 3;
    instance.metadata = {{"team", "checkout"}};
    auto registration = client.register_instance("shop", "127.0.0.1:8080", instance);
    std::cout << "registered " << registration.id() << "\n";

    for (const auto &one : client.discover("shop").instances) {
      std::cout << "found " << one.address << " with weight " << one.weight << "\n";
    }
    auto pick = client.pick("shop");
    std::cout << "calling " << pick.address() << "\n";
    pick.report(QUORATE_OUTCOME_OK, 300us);

    {
      auto lock = client.lock("ledger", 10s);
      std::cout << "fencing token " << lock.token() << "\n";
      if (!client.try_lock("ledger")) std::cout << "nobody else has it\n";
    }  // Released in the background; lock.unlock() also tells when it is.

    auto leadership = client.campaign("reports", "this program", 10s);
    std::cout << "led by " << client.leader("reports")->value << "\n";
    leadership.resign();

    quorate::Queue queue;
    auto watch = client.watch("greeting", queue, {client.put("greeting", "hello").revision});
    if (auto event = queue.next(10s)) {
      std::cout << "written: " << (*event)->keys->events[0]->kv->value << "\n";
    }
    quorate::Txn txn;
    txn.when_value("greeting", QUORATE_EQUAL, "hello").erase(QUORATE_THEN, "greeting");
    std::cout << "deleted " << *client.txn(txn).results[0].deleted << "\n";

    registration.deregister();
    client.close();
    return 0;
  } catch (const quorate::Error &error) {
    std::cerr << error.name() << ": " << error.what() << "; " << error.next_step() << "\n";
    return 1;
  }
}
