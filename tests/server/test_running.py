import threading

from hot.server.running import Running


def test_what_is_asked_of_a_job_is_known_until_its_end():
    running = Running()
    running.begin("a")
    running.ask("a", "cancel")
    assert (running.asked("a"), running.asked("b")) == ("cancel", "")
    running.end("a")
    running.ask("a", "lost")
    assert (running.asked("a"), running.jobs()) == ("", frozenset())


def test_no_job_comes_back_by_what_other_threads_ask_of_it():
    running, is_over = Running(), threading.Event()

    def ask():
        while not is_over.is_set():
            for job in running.jobs() | {"0"}:
                running.ask(job, "cancel")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(3000):
        running.begin(f"{number}")
        running.end(f"{number}")
    is_over.set()
    for thread in threads:
        thread.join()
    assert running.jobs() == frozenset()
