import js from "@eslint/js";
import simpleImportSort from "eslint-plugin-simple-import-sort";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "build/", "coverage/"] },
  js.configs.recommended,
  {
    plugins: { "simple-import-sort": simpleImportSort },
    rules: {
      // One block: Node, packages, this project. Style sheets come last, because they override those of packages.
      "simple-import-sort/imports": ["error", { groups: [["^node:", "^@?\\w", "^\\.", "^\\u0000"]] }],
      "simple-import-sort/exports": "error",
    },
  },
  {
    files: ["**/*.{ts,tsx}"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "@typescript-eslint/prefer-nullish-coalescing": "error",
      "@typescript-eslint/consistent-type-imports": "error",
    },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          paths: [{ name: "vitest", importNames: ["test"], message: "Write `it`: one word for one thing." }],
        },
      ],
    },
  },
  {
    files: ["src/**/*.{ts,tsx}"],
    rules: { "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }] },
  },
  {
    files: ["scripts/**/*.mjs", "examples/**/*.mjs", "*.js"],
    languageOptions: {
      globals: Object.fromEntries(
        ["Buffer", "URL", "clearInterval", "console", "fetch", "process", "setInterval"].map((name) => [
          name,
          "readonly",
        ]),
      ),
    },
  },
);
