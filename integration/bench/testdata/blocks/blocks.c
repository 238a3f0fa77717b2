/*
 * A QEMU plugin that counts what QEMU translates: blocks of instructions that are executed for the first time.
 *
 *   -plugin blocks.so,start=ADDRESS,stop=ADDRESS,out=FILE
 *
 * It counts from the first execution of a block at the one address to that at the other, and then writes the number to FILE.
 *
 * The declarations are QEMU's plugin interface, version 1, as far as it is used here; distributions do not package its header.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
typedef uint64_t qemu_plugin_id_t;

int qemu_plugin_version = 1;
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*f)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*f)(unsigned cpu, void *data), int flags, void *data);

static uint64_t start, stop, blocks;
static int counting;
static const char *out;

static void begin(unsigned cpu, void *data)
{
	if (start == 0)
		return;
	start = 0;
	counting = 1;
}

static void end(unsigned cpu, void *data)
{
	FILE *f;

	if (!counting)
		return;
	counting = 0;
	f = fopen(out, "w");
	if (f != NULL) {
		fprintf(f, "%llu\n", (unsigned long long)blocks);
		fclose(f);
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);

	if (counting)
		blocks++;
	if (address == start)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, begin, 0, NULL);
	else if (address == stop)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, end, 0, NULL);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (strncmp(argv[i], "start=", 6) == 0)
			start = strtoull(argv[i] + 6, NULL, 0);
		else if (strncmp(argv[i], "stop=", 5) == 0)
			stop = strtoull(argv[i] + 5, NULL, 0);
		else if (strncmp(argv[i], "out=", 4) == 0)
			out = strdup(argv[i] + 4);
	}
	if (start == 0 || stop == 0 || out == NULL) {
		fprintf(stderr, "blocks: want start, stop and out\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
