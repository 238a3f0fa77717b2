#include "textflag.h"

// Two programs that tell how long an init takes, and cost next to nothing themselves: each is a handful of instructions
// behind an entry point of its own (go build -ldflags '-E NAME'), and never starts the Go runtime it is linked with.
//
//   bench_start   leaves the time in its environment, and executes /init.krun.
//   bench_finish  is the workload that init executes: takes the time at its first instruction, and prints both.
//
// A time is the processor's time stamp counter: the clock of the guest kernel may well tick in steps of 4 ms only. It is
// written as sixteen letters of four bits each, the highest first: A is 0, P is 15. The environment has to hold BENCH_T=
// and sixteen letters to overwrite. What is printed is BENCH_T= and both times.

#define SYS_write	1
#define SYS_execve	59
#define SYS_exit_group	231

// The first instructions of both programs. They take the time into R14, and make R12 point to the arguments, R13 to the
// environment. The stack of a new process: argc, the arguments, 0, the environment, 0.
#define START			\
	RDTSC;			\
	SHLQ	$32, DX;	\
	LEAQ	(AX)(DX*1), R14; \
	LEAQ	8(SP), R12;	\
	MOVQ	(SP), AX;	\
	LEAQ	16(SP)(AX*8), R13

TEXT bench_start(SB), NOSPLIT|NOFRAME, $0
	START
	CALL	findVariable<>(SB)
	LEAQ	8(AX), DI
	CALL	writeTime<>(SB)

	LEAQ	init<>(SB), DI
	MOVQ	DI, (R12)
	MOVQ	R12, SI
	MOVQ	R13, DX
	MOVL	$SYS_execve, AX
	SYSCALL
	JMP	fail<>(SB)

TEXT bench_finish(SB), NOSPLIT|NOFRAME, $0
	START
	SUBQ	$64, SP
	CALL	findVariable<>(SB)
	// BENCH_T= and the first time, 24 bytes, then the second one and a newline, into the buffer on the stack.
	MOVQ	SP, DI
	MOVQ	AX, SI
	MOVL	$24, CX
	CLD
	REP; MOVSB
	CALL	writeTime<>(SB)
	MOVB	$'\n', (DI)

	MOVL	$SYS_write, AX
	MOVL	$1, DI
	MOVQ	SP, SI
	MOVL	$41, DX
	SYSCALL
	CMPQ	AX, $41
	JNE	fail
	XORL	DI, DI
	MOVL	$SYS_exit_group, AX
	SYSCALL
fail:
	JMP	fail<>(SB)

// findVariable returns in AX the first entry of the environment R13 that begins with BENCH_T=.
TEXT findVariable<>(SB), NOSPLIT|NOFRAME, $0
	MOVQ	$0x3d545f48434e4542, CX		// "BENCH_T=" in memory
	MOVQ	R13, SI
next:
	MOVQ	(SI), AX
	TESTQ	AX, AX
	JZ	fail
	ADDQ	$8, SI
	CMPQ	(AX), CX
	JNE	next
	RET
fail:
	JMP	fail<>(SB)

// writeTime writes R14 to DI, as sixteen characters, and moves DI behind them.
TEXT writeTime<>(SB), NOSPLIT|NOFRAME, $0
	MOVL	$16, CX
next:
	ROLQ	$4, R14
	MOVL	R14, AX
	ANDL	$15, AX
	ADDL	$'A', AX
	MOVB	AX, (DI)
	INCQ	DI
	DECL	CX
	JNZ	next
	RET

TEXT fail<>(SB), NOSPLIT|NOFRAME, $0
	MOVL	$1, DI
	MOVL	$SYS_exit_group, AX
	SYSCALL
	UNDEF

DATA init<>+0(SB)/8, $"/init.kr"
DATA init<>+8(SB)/3, $"un\x00"
GLOBL init<>(SB), NOPTR|RODATA, $11
