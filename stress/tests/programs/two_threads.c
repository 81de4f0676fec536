/* Two threads that make, rename and remove directories: two_threads DIRECTORY
 *
 * What it is for: threads without an interpreter and its lock, so that both are in the kernel at
 * once. Build it with: cc -pthread -o two_threads two_threads.c
 *
 * Each thread makes five calls on names of its own (mkdir, mkdir, rename, rmdir, rename) and leaves
 * t0-last and t1-last in the directory, which must be there and empty. Exits with 0, or with 1 and
 * the call that failed on stderr.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 2, NAME_BYTES = 16 };

static void check(int answer, const char *call) {
    if (answer != 0) {
        perror(call);
        exit(1);
    }
}

static void *work(void *argument) {
    int number = *(int *)argument;
    char first[NAME_BYTES], second[NAME_BYTES], last[NAME_BYTES];

    snprintf(first, sizeof first, "t%d-first", number);
    snprintf(second, sizeof second, "t%d-second", number);
    snprintf(last, sizeof last, "t%d-last", number);
    check(mkdir(first, 0777), "mkdir");
    check(mkdir(second, 0777), "mkdir");
    check(rename(first, last), "rename");
    check(rmdir(last), "rmdir");
    check(rename(second, last), "rename");
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t threads[THREADS];
    int numbers[THREADS];

    if (count != 2) {
        fputs("usage: two_threads DIRECTORY\n", stderr);
        return 2;
    }
    check(chdir(arguments[1]), "chdir");
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        check(pthread_create(&threads[i], NULL, work, &numbers[i]), "pthread_create");
    }
    for (int i = 0; i < THREADS; i++)
        check(pthread_join(threads[i], NULL), "pthread_join");
    return 0;
}
