#include "textflag.h"

#define SYS_write	64
#define FAULTS		0x400004D8	// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS

// The kernel calls it with the signal in R0, the siginfo_t in R1 and the ucontext_t in R2, and
// restores all registers when it returns. At offset 8 of a siginfo_t is si_code. For the runtime's
// handler, R0 to R2 and those that a function of C preserves stay as they are.
TEXT handleSignal<>(SB), NOSPLIT|NOFRAME, $0
	SUBW	$1, R0, R9
	MOVD	$1, R10
	LSL	R9, R10			// the signal's bit
	MOVD	$FAULTS, R11
	TST	R10, R11
	BEQ	sent
	MOVW	8(R1), R11
	CMPW	$0, R11
	BGT	fault
sent:
	MOVD	$·waiting(SB), R11
again:
	LDAXR	(R11), R12
	ORR	R10, R12, R13
	STLXR	R13, (R11), R14
	CBNZ	R14, again
	TST	R10, R12
	BNE	done			// it waits already
	MOVD	$SYS_write, R8
	MOVD	$·wake(SB), R0
	MOVW	(R0), R0
	MOVD	$one<>(SB), R1
	MOVD	$8, R2
	SVC
done:
	RET
fault:
	JMP	runtime·sigtramp(SB)

DATA one<>+0(SB)/8, $1
GLOBL one<>(SB), NOPTR|RODATA, $8

DATA ·handler(SB)/8, $handleSignal<>(SB)
GLOBL ·handler(SB), NOPTR|RODATA, $8
