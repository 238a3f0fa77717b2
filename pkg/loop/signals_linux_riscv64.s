#include "textflag.h"

#define SYS_write	64
#define FAULTS		0x400004D8	// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS

// The kernel calls it with the signal in A0, the siginfo_t in A1 and the ucontext_t in A2, and
// restores all registers when it returns. At offset 8 of a siginfo_t is si_code. For the runtime's
// handler, A0 to A2 and those that a function of C preserves stay as they are.
TEXT handleSignal<>(SB), NOSPLIT|NOFRAME, $0
	ADD	$-1, A0, T0
	MOV	$1, T1
	SLL	T0, T1			// the signal's bit
	MOV	$FAULTS, T2
	AND	T1, T2
	BEQ	T2, ZERO, sent
	MOVW	8(A1), T2
	BLT	ZERO, T2, fault
sent:
	MOV	$·waiting(SB), T2
	AMOORD	T1, (T2), T0		// T0 is the old value
	AND	T1, T0
	BNE	T0, ZERO, done		// it waits already
	MOV	$SYS_write, A7
	MOV	$·wake(SB), T0
	MOVW	(T0), A0
	MOV	$one<>(SB), A1
	MOV	$8, A2
	ECALL
done:
	RET
fault:
	MOV	$runtime·sigtramp(SB), T0
	JMP	(T0)

DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), NOPTR|RODATA, $8

DATA ·handler(SB)/8, $handleSignal<>(SB)
GLOBL ·handler(SB), NOPTR|RODATA, $8
