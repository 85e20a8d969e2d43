/* Floating point: values and flags at the edges, where the C libraries of Linux agree. */
#include "calls.h"
#include <fenv.h>
#include <float.h>
#include <math.h>

static void show(const char *what, double value)
{
	int flags = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT);
	union { double value; uint64_t bits; } all = {.value = value};
	printf("floats: %s = %016llx, flags %x\n", what, isnan(value) ? 1ull : (unsigned long long)all.bits, flags);
}

#define F(call) \
	do { \
		feclearexcept(FE_ALL_EXCEPT); \
		volatile double value_ = (call); \
		show(#call, value_); \
	} while (0)

void float_groups(void)
{
	static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
	static const char *const names[] = {"nearest", "down", "up", "to zero"};
	volatile float tiny = FLT_MIN, least = FLT_TRUE_MIN, half = 0.5f, one = 1, large = FLT_MAX, third = 1.0f / 3, below = 0x1.fffffep-1f;
	volatile double dtiny = DBL_MIN, dleast = DBL_TRUE_MIN, dhalf = 0.5, done = 1, dlarge = DBL_MAX, dthird = 1.0 / 3, zero = 0,
		       infinite = INFINITY, none = NAN, two = 2.5, minus = -1.5, dbelow = 0x1.fffffffffffffp-1;
	if (!group("floats"))
		return;
	for (int i = 0; i < 4; i++) {
		O(fesetround(modes[i]));
		printf("floats: %s\n", names[i]);
		F(fmaf(tiny, half, least));
		F(fmaf(tiny, tiny, tiny));
		F(fmaf(tiny, below, least * half));
		F(fmaf(-tiny, tiny, -tiny));
		F(fmaf(tiny, below, zero));
		F(fmaf(third, third, -tiny));
		F(fmaf(0x1.7ffffcp-127f, 0x1.000002p+0f, 0x1p-149f * 0.5f));
		F(fmaf(-0x1.26524ep-54f, -0x1.cb7868p+11f, 0x1.d10f5ep-29f));
		F(fmaf(0x1.ffffep-126f, 0x1p-1f, 0x1p-148f));
		F(fmaf(0x1.0002p-75f, 0x1.0002p-75f, 0x1p-149f));
		F(fmaf(0x1p-75f, 0x1p-75f, FLT_MIN));
		F(fmaf(0x1p-75f, -0x1p-75f, FLT_MIN));
		F(fmaf(0x1p-120f * one, 0x1p-120f * one, least));
		F(fmaf(0x1p-120f * one, 0x1p-120f * one, -least));
		F(fmaf(0x1p-120f * one, least, tiny));
		F(fmaf(0x1p-75f * one, 0x1.8p-75f * one, least));
		F(fmaf(-0x1p-120f * one, 0x1p-120f * one, 0x1p-130f * one));
		F(fmaf(0x1.1p-75f * one, 0x1.3p-60f * one, 0x1p-140f * one));
		F(fmaf(large, large, -large));
		F(fmaf(one, one, -one));
		F(fma(dtiny, dhalf, dleast));
		F(fma(dtiny, dtiny, dtiny));
		F(fma(dtiny, dbelow, dleast));
		F(fma(dthird, dthird, -dtiny));
		F(fma(dlarge, dlarge, -dlarge));
		F(fma(done, done, -done));
		F(fma(0x1p-1022, 0x1p-1, 0x1p-1074));
		F(fma(0x1.0000002p-537, 0x1.0000002p-537, 0x1p-1074));
		F(fma(0x1p-600, -0x1p-600, DBL_MIN));
		F(sqrt(dthird));
		F(sqrt(-done));
		F(sqrtf(third));
		F(rint(two));
		F(rint(minus));
		F(nearbyint(two));
		F(nearbyint(minus));
		F(nearbyintf(2.5f));
		F(rintf(-2.5f));
		F((double)lrint(two));
		F((double)lrint(minus));
		F((double)lrint(1e300));
		F((double)lrintf(1e30f));
		F((double)llrint(none));
		F((double)lround(1e300));
		F(exp(dleast));
		F(exp(-745.0 - zero));
		F(exp(-800.0 - zero));
		F(exp(800.0 + zero));
		F(expf(-104.0f + (float)zero));
		F(expf(89.0f + (float)zero));
		F(exp2(-1074.5 + zero));
		F(exp2(1024.0 + zero));
		F(expm1(dleast));
		F(pow(two, 800.0));
		F(pow(two, 1e4));
		F(pow(two, -1e4));
		F(pow(dtiny, 1.01));
		F(pow(zero, -1.0));
		F(pow(-2.0 + zero, 0.5));
		F(powf(tiny, 1.01f));
		F(log(zero));
		F(log(-done));
		F(log(done));
		F(log1p(dleast));
		F(sin(dleast));
		F(sin(infinite));
		F(sinf(least));
		F(asin(2.0 + zero));
		F(hypot(dlarge, dlarge));
		F(hypot(dleast, dleast));
		F(fmod(dlarge, dleast));
		F(fmod(done, zero));
		F(remainder(two, zero));
		F(ldexp(done, -1075));
		F(ldexp(done, 2000));
		F(scalbn(dthird, -1070));
		F(nextafter(zero, done));
		F(nextafter(dlarge, infinite));
		F(fdim(infinite, infinite));
		F(tgamma(-1.0 + zero));
		F(lgamma(zero));
		F(erf(dleast));
		F(sinh(800.0 + zero));
		F((double)(float)(dthird * 1e-40));
		F(strtod("0.1", 0));
		F(strtod("1e400", 0));
	}
	fesetround(FE_TONEAREST);
	fenv_t environment;
	O(fegetround());
	O(feraiseexcept(FE_DIVBYZERO | FE_INEXACT));
	V(fetestexcept(FE_DIVBYZERO | FE_INEXACT | FE_OVERFLOW));
	O(feholdexcept(&environment));
	V(fetestexcept(FE_DIVBYZERO | FE_INEXACT | FE_OVERFLOW));
	O(feraiseexcept(FE_OVERFLOW));
	O(feupdateenv(&environment));
	V(fetestexcept(FE_DIVBYZERO | FE_INEXACT | FE_OVERFLOW));
	fexcept_t flags;
	O(fegetexceptflag(&flags, FE_ALL_EXCEPT));
	O(feclearexcept(FE_ALL_EXCEPT));
	O(fesetexceptflag(&flags, FE_DIVBYZERO));
	V(fetestexcept(FE_DIVBYZERO | FE_INEXACT | FE_OVERFLOW));
	O(fesetenv(FE_DFL_ENV));
	V(fetestexcept(FE_DIVBYZERO | FE_INEXACT | FE_OVERFLOW));
}
