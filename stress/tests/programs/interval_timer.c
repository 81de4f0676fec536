/* A signal each millisecond while directories are made: interval_timer DIRECTORY
 *
 * What it is for: as interval_timer.py, but the handler runs at once, inside the call, and without
 * SA_RESTART. No kernel lets a signal interrupt mkdir or rename, so a call that answers EINTR here
 * was spoilt by whoever held it. Build it with: cc -o interval_timer interval_timer.c
 *
 * Makes d0 to d9 in the directory, which must be there and empty, each under another name first
 * (twenty calls); says on stdout how many signals were handled. Exits with 0, or with 1 and the call
 * that failed on stderr.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { DIRECTORIES = 10, PERIOD_US = 1000, NAME_BYTES = 16 };

static volatile sig_atomic_t handled;

static void count(int number) {
    (void)number;
    handled++;
}

static void check(int answer, const char *call) {
    if (answer != 0) {
        perror(call);
        exit(1);
    }
}

static void set_timer(int period_us) {
    struct itimerval timer = {{0, period_us}, {0, period_us}};
    check(setitimer(ITIMER_REAL, &timer, NULL), "setitimer");
}

int main(int argument_count, char **arguments) {
    struct sigaction action;
    char made[NAME_BYTES], last[NAME_BYTES];

    if (argument_count != 2) {
        fputs("usage: interval_timer DIRECTORY\n", stderr);
        return 2;
    }
    check(chdir(arguments[1]), "chdir");
    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    check(sigaction(SIGALRM, &action, NULL), "sigaction");
    set_timer(PERIOD_US);
    for (int i = 0; i < DIRECTORIES; i++) {
        snprintf(made, sizeof made, "new-%d", i);
        snprintf(last, sizeof last, "d%d", i);
        check(mkdir(made, 0777), "mkdir");
        check(rename(made, last), "rename");
    }
    set_timer(0);
    printf("%d\n", (int)handled);
    return 0;
}
